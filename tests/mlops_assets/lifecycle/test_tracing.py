"""Lineage over a real ledger, real releases and a real lake, as the job answers it."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.lifecycle import tracing
from mlops_assets.lifecycle.tracing import (
    NoSuchPrediction,
    NothingAsked,
    found,
    lineage,
    pinned,
    predicted,
    reach,
    sources_of,
    versions,
)
from mlops_assets.specs import Catalogue
from resources.lake import LocalLake
from resources.registry.known import FILE
from resources.registry.lineage import Piece, Touched, touched
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

    def say(self, kind: str, number: int) -> None:
        """An entry about a version."""
        ledger, said = self.registry.ledger(), {"content_hash": self.hashes[number], "version": number + 1}
        ledger.append("late", kind, said, expect_head=ledger.head("late"), actor="t", data_at=NOON)

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


QUESTIONS = [
    Piece(table="table/counter/orders"),
    Piece(table="table/counter/orders", month="2020-01"),
    Piece(table="table/counter/orders", month="2020-02"),
    Piece(table="table/counter/orders", month="2020-02", digest="digest of 2020-02"),
    Piece(table="table/counter/orders", month="2020-02", digest="of other rows"),
    Piece(table="feature/stall/lately", month="2020-02"),
    Piece(table="table/counter/stalls"),
    Piece(feature="stall_lately"),
    Piece(feature="stall_lately__wait_2h"),
    Piece(feature="items"),
    Piece(feature="nobodys"),
    Piece(library="polars"),
    Piece(library="Polars==0.0.1"),
    Piece(library="pandas"),
]


def plain(answer: Touched) -> tuple[Any, ...]:
    """What an answer says, whatever it was told from."""
    shown = [(one.content_hash, one.lives, why) for one, why in answer.versions]
    made = [(one, maker and maker.content_hash, why) for one, maker, why in answer.predictions]
    return shown, made, [one.content_hash for one in answer.unknown], answer.lines()


def from_records(world: World, piece: Piece) -> Touched:
    """The answer from every release, read again."""
    known = list(versions(world.registry, ["late"]))
    locks = {lock: pins for one in known if (lock := one.identity.get("lock")) and (pins := pinned(lock, None)) is not None}
    return touched(piece, known, predicted(world.lake, ["late"]), sources=sources_of(CATALOGUE), locks=locks)


@pytest.mark.parametrize("piece", QUESTIONS, ids=str)
def test_an_answer_out_of_the_book_is_the_answer_from_the_records(world: World, tmp_path: Path, piece: Piece) -> None:
    world.say("approved", 0)
    world.say("promoted", 0)
    strange = record("2020-02")
    strange["identity"]["lock"] = "0" * 64
    world.release(2, strange)
    shutil.rmtree(world.registry.releases().path("late", world.release(3, record("2020-03"))))
    expected = plain(from_records(world, piece))
    for kept in (None, tmp_path / "kept", tmp_path / "kept"):  # without a book, with a new one, out of the one that is kept
        assert plain(reach(CATALOGUE, world.registry, world.lake, piece, kept=kept)) == expected


def test_a_release_is_read_for_the_first_question_and_for_no_other(world: World, tmp_path: Path) -> None:
    ask, piece = partial(reach, CATALOGUE, world.registry, world.lake, kept=tmp_path / "kept"), Piece(feature="stall_lately")
    first = plain(ask(piece))
    shutil.rmtree(tmp_path / "releases" / "late")
    assert plain(ask(piece)) == first
    world.say("approved", 0)
    assert plain(ask(piece)) == first
    world.say("promoted", 0)
    assert [one.version for one in ask(piece).live] == [1]
    (tmp_path / "kept" / FILE).unlink()
    assert len(ask(piece).unknown) == 2


def test_a_long_answer_is_cut_in_the_log_and_whole_on_the_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world.answer(feature="items").splitlines()
    monkeypatch.setattr(tracing, "MOST", 2)
    assert world.answer(feature="items").splitlines() == [*whole[:2], f"- {len(whole) - 2} more are on the page"]


@pytest.mark.parametrize("months", [(), ("2020-03",), ("2020-03", "2020-04")], ids=("shorter", "as long", "longer"))
def test_a_book_of_another_ledger_is_made_anew(world: World, tmp_path: Path, months: tuple[str, ...]) -> None:
    elsewhere, piece = World(tmp_path / "elsewhere"), Piece(feature="stall_lately")
    elsewhere.release(2, record("2020-02"))
    reach(CATALOGUE, elsewhere.registry, elsewhere.lake, piece, kept=tmp_path / "kept")
    for number, month in enumerate(months, start=2):
        world.release(number, record(month))
    answer = reach(CATALOGUE, world.registry, world.lake, piece, kept=tmp_path / "kept")
    assert plain(answer) == plain(from_records(world, piece))
    assert len(answer.versions) == 2 + len(months)


@pytest.mark.parametrize("damage", [b"", b"no book", None])
def test_a_book_that_is_torn_is_made_anew(world: World, tmp_path: Path, damage: bytes | None) -> None:
    kept, piece = tmp_path / "kept", Piece(feature="stall_lately")
    reach(CATALOGUE, world.registry, world.lake, piece, kept=kept)
    if damage is not None:
        (kept / FILE).write_bytes(damage)
    else:
        pl.DataFrame({"kind": [None], "of": ["other columns"]}).write_parquet(kept / FILE)
    assert plain(reach(CATALOGUE, world.registry, world.lake, piece, kept=kept)) == plain(from_records(world, piece))


def test_predictions_are_read_again_when_their_table_was_written(world: World, tmp_path: Path) -> None:
    ask, piece = partial(reach, CATALOGUE, world.registry, world.lake, kept=tmp_path / "kept"), Piece(library="polars")
    assert [(one.month, one.rows) for one, *_ in ask(piece).predictions] == [("2020-02", 2)]
    where = "prediction/late/batch"
    world.lake.replace(where, world.lake.read(where).drop("month").head(1).collect(), partition="2020-03")
    assert [(one.month, one.rows) for one, *_ in ask(piece).predictions] == [("2020-02", 2), ("2020-03", 1)]


def test_the_run_logs_the_answer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.ask(feature="items")
    assert "items has reached 2 versions" in capsys.readouterr().err
