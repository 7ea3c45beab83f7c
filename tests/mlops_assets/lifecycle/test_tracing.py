"""Lineage over a real ledger, real releases and a real lake, as the job answers it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.lifecycle.tracing import NoSuchPrediction, NothingAsked, found, lineage, versions
from mlops_assets.specs import Catalogue
from resources.lake import LocalLake
from resources.registry.releases import ReleaseChanged
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.serving.lock import lock_hash
from tests.mlops_assets.lifecycle.orders import LATE, LATELY, NOON, ORDERS, REGISTER, SEATS

CATALOGUE = Catalogue(project="lifecycle", sources=(ORDERS, REGISTER), views=(LATELY, SEATS), models=(LATE,))


def record(*months: str) -> dict[str, Any]:
    """What a version says of itself that was trained on these months."""
    digests = {month: f"digest of {month}" for month in months}
    return {
        "identity": {
            "cutoff": months[-1],
            "tables": {"table/counter/orders": digests, "feature/stall/lately": digests},
            "views": {"stall_lately": "v1"},
            "lock": lock_hash(),
        },
        "provenance": {"mlflow_run_id": "run", "training_set": {"address": "training_set/late/examples", "rows": 9}, "tables": {}},
    }


class World:
    """Two versions of one model and a month of predictions of the first."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(
            ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"), keys_root=str(folder / "keys")
        )
        self.lake, self.reports = LocalLake(root=str(folder / "lake")), Reports(root=str(folder / "reports"))
        self.hashes = [self.release(number, record(*months)) for number, months in enumerate((("2020-01",), ("2020-01", "2020-02")))]
        self.ids = [self.hashes[0][:8] + letter * 24 for letter in "12"]
        rows = {
            "row_id": ["a", "b"],
            "day": [NOON.date()] * 2,
            "predict_at": [NOON] * 2,
            "prediction": [0.25, 0.5],
            "prediction_id": self.ids,
        }
        frame = pl.DataFrame({**rows, "model_version": [1, 1], "content_hash": [self.hashes[0]] * 2})
        self.lake.replace("prediction/late/batch", frame, partition="2020-02")

    def release(self, number: int, said: Mapping[str, Any]) -> str:
        name = self.registry.releases().write("late", {"mean": number}, said, {"features": {"items": {}, "stall_lately__wait_2h": {}}})
        entries = self.registry.ledger()
        entries.append(
            "late",
            "registered",
            {"content_hash": name, "version": number + 1, "manifest_hash": self.registry.releases().verify("late", name)},
            expect_head=entries.head("late"),
            actor="t",
            data_at=NOON,
        )
        return name

    def ask(self, **config: object) -> Any:
        """What the job's run said."""
        resources = {"registry": self.registry, "lake": self.lake, "reports": self.reports}
        return lineage(CATALOGUE).execute_in_process(
            run_config={"ops": {"trace": {"config": config}}}, resources=resources, raise_on_error=True
        )

    def answer(self, **config: object) -> str:
        """The answer as the run page shows it, which the log has too."""
        metadata = next(event for event in self.ask(**config).all_events if event.is_successful_output).step_output_data.metadata
        assert (Path(self.reports.root) / metadata["page"].value.removeprefix(self.reports.ui + "/")).is_file()
        return str(metadata["answer"].value)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_prediction_is_followed_back_to_the_version_that_its_id_begins_with(world: World) -> None:
    said = world.answer(prediction=world.ids[1])
    assert f"prediction {world.ids[1]}: b on 2020-01-10, answered 0.5" in said
    assert f"late  version 1  sha256 {world.hashes[0][:12]}" in said
    assert world.answer(prediction=world.ids[1], month="2020-02") == said


def test_an_id_that_nobody_answered_is_refused(world: World) -> None:
    ledger, nobody = world.registry.ledger(), world.ids[0][:8] + "9" * 24
    with pytest.raises(NoSuchPrediction, match=f"prediction {nobody} is not in prediction/late/batch, so nothing was traced"):
        found(ledger, world.lake, nobody)
    for name in ("3" * 32, "%"):
        with pytest.raises(NoSuchPrediction, match="begins with the hash of no registered version"):
            found(ledger, world.lake, name)


def test_the_rows_of_a_month_are_followed_to_versions_and_predictions(world: World) -> None:
    said = world.answer(table="table/counter/orders", month="2020-02")
    assert "has reached 1 versions of 1 models" in said
    assert "late version 2: trained on 2020-02 of table/counter/orders" in said
    assert "prediction/late/batch 2020-02, 2 rows: read 2020-02 of table/counter/orders" in said


def test_rows_at_a_version_of_the_table_are_told_by_their_digest(world: World) -> None:
    for row in ("x", "y"):
        world.lake.replace("table/counter/orders", pl.DataFrame({"order_id": [row]}), partition="2020-02")
    said = record("2020-01")
    said["identity"]["tables"]["table/counter/orders"] = {"2020-02": world.lake.digests("table/counter/orders", version=0)["2020-02"]}
    world.release(2, said)
    assert "late version 3: trained on 2020-02 of table/counter/orders" in world.answer(
        table="table/counter/orders", month="2020-02", version=0
    )
    now = world.answer(table="table/counter/orders", month="2020-02", version=1)
    assert "both count whatever the digest" in now
    assert "version 3" not in now


def test_a_feature_and_a_library_are_followed(world: World) -> None:
    assert "has reached 2 versions" in world.answer(feature="stall_lately__wait_2h")
    assert "has reached 2 versions" in world.answer(library="polars")
    assert "has reached 0 versions" in world.answer(library="pandas")


@pytest.mark.parametrize("config", [{}, {"prediction": "1", "feature": "items"}])
def test_a_question_is_about_one_thing(world: World, config: dict[str, object]) -> None:
    with pytest.raises(NothingAsked, match="Ask about one"):
        world.ask(**config)


def test_a_release_that_was_removed_is_known_by_its_entries_alone_and_called_unknown(world: World) -> None:
    shutil.rmtree(world.registry.releases().path("late", world.hashes[1]))
    assert [one.record == {} for one in versions(world.registry, ["late"])] == [False, True]
    assert "late version 2: not known" in world.answer(table="table/counter/orders", month="2020-02")


def test_a_record_that_was_changed_is_not_believed(world: World) -> None:
    path = world.registry.releases().path("late", world.hashes[0]) / "record.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"2020-01", b"2019-01"))
    with pytest.raises(ReleaseChanged):
        list(versions(world.registry, ["late"]))


def test_provenance_that_was_replaced_with_a_manifest_that_fits_is_not_believed(world: World) -> None:
    releases = world.registry.releases()
    shutil.rmtree(releases.path("late", world.hashes[0]))
    forged = {**record("2020-01"), "provenance": {"mlflow_run_id": "another"}}
    signature: dict[str, object] = {"features": {"items": {}, "stall_lately__wait_2h": {}}}
    assert releases.write("late", {"mean": 0}, forged, signature) == world.hashes[0]
    with pytest.raises(ReleaseChanged, match="is not the one that the ledger recorded"):
        list(versions(world.registry, ["late"]))


def test_the_run_logs_the_answer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.ask(feature="items")
    assert "items has reached 2 versions" in capsys.readouterr().err
