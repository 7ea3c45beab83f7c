"""The way back from a prediction, told from records."""

from datetime import UTC, datetime

from resources.registry.lineage import lineage
from resources.registry.states import Entry

ENTRY = Entry(
    seq=3, subject="churn", kind="approved", payload={"content_hash": "4" * 64, "version": 9, "why": "gate passed, no approval needed"},
    at=datetime(2026, 1, 1, tzinfo=UTC), data_at=datetime(2013, 12, 1, 5, tzinfo=UTC), activate_at=None, actor="gate", prev=None, hash="h",
)  # fmt: skip
RECORD = {
    "identity": {"lock": "7" * 64},
    "provenance": {
        "mlflow_run_id": "3b1e",
        "git": {"commit": "9" * 40, "dirty": True},
        "training_set": {"address": "training_set/churn/examples", "version": 31, "rows": 302118},
        "tables": {"table/weather/hourly": 12, "table/flights/departures": 11},
    },
}


def test_every_step_from_the_prediction_to_the_tables_is_told() -> None:
    assert lineage(ENTRY, RECORD) == [
        "<- release    churn  version 9  sha256 444444444444  decided gate passed, no approval needed  since 2013-12-01",
        "<- run        mlflow 3b1e  git 999999999999  dirty yes  lock 777777777777",
        "<- examples   training_set/churn/examples  version 31  rows 302,118",
        "<- tables     table/flights/departures version 11 · table/weather/hourly version 12",
    ]


def test_what_was_not_recorded_is_said_to_be_so() -> None:
    assert lineage(ENTRY, {})[1:] == [
        "<- run        mlflow not recorded  git not recorded  lock not recorded", "<- examples   not recorded",
        "<- tables     not recorded",
    ]  # fmt: skip
