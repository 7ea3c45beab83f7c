"""What a model is named after, and what is written down of how it came about."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.lifecycle.recording import Made, identity, metered, provenance
from resources.registry.record import RecordIncomplete, complete
from tests.mlops_assets.lifecycle.orders import LATE, PACKAGE

MADE = Made(tables={"table/counter/orders": {"version": 3, "digests": {"2020-01": "abc"}}}, views={})


def named(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"cutoff": "2020-01", "trained_until": date(2020, 1, 25), "made": MADE, "package": PACKAGE, "params": {"a": 1}}
    spec = changed.pop("spec", LATE)
    return identity(spec, **given | changed)


def test_a_model_is_named_after_data_code_and_settings() -> None:
    other = {"table/counter/orders": {"version": 3, "digests": {"2020-01": "other"}}}
    seeded = replace(LATE, seed=8)
    changes: list[dict[str, Any]] = [
        {"cutoff": "2020-02"},
        {"made": Made(tables=other, views={})},
        {"made": Made(tables=MADE.tables, views={"stall_lately": "v2"})},
        {"params": {"a": 2}},
        {"spec": seeded},
    ]
    assert all(named(**change) != named() for change in changes)


def test_the_number_of_a_table_s_version_and_who_owns_the_model_do_not_name_it() -> None:
    again = {"table/counter/orders": {"version": 9, "digests": {"2020-01": "abc"}}}
    assert named(made=Made(tables=again, views={})) == named()
    assert named(spec=replace(LATE, owner="team:other")) == named()


def recorded(package: str) -> dict[str, Any]:
    """The record of a fit of ``late`` as a project of this package would write it."""
    with metered() as used:
        sum(range(100_000))
    how = provenance(LATE, made=MADE, package=package, dagster_run="run", mlflow_run="m", used=used, rows=210)
    return {"identity": named(), "provenance": how}


def test_a_record_holds_all_that_its_schema_asks_for_and_the_text_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "carded"
    (folder / "models" / "late").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "models" / "late" / "card.md").write_text("# late\n\n**Know before use.** Made of orders.")
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]  a parameter of pytest's is
    record = complete("late", recorded("carded"))
    assert record.provenance.card.endswith("Made of orders.")
    assert record.provenance.used.cpu_seconds >= 0
    assert 1 < record.provenance.used.peak_mb < 1e6
    assert (record.provenance.owner, record.provenance.training_set.rows, record.identity.tables) == (
        "team:counter", 210, {"table/counter/orders": {"2020-01": "abc"}},
    )  # fmt: skip


def test_a_model_without_a_card_has_a_record_that_is_not_complete() -> None:
    with pytest.raises(RecordIncomplete, match=r"provenance\.card"):
        complete("late", recorded("mlops_assets.flights"))
