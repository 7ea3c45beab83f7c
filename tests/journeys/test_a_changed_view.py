"""The definition of a feature view changes under a live model: who goes on, who is stopped, and how it ends. Tests run in order."""

import subprocess
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from resources.feature_store.direct import Lookup, opened
from tests.journeys.tiny import LAST, Kiosk

FIRST, NEXT = "2020-01", "2020-03"
VIEW = "feature/stall/lately"
TRAIN = "training_set/late/examples,model/late/parts,evaluation/late/holdout,release/late/candidate"


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A home after its replay, whose view then averages over five hours where it was six."""
    one = Kiosk(tmp_path_factory.mktemp("changed"))
    done = one.replay()
    assert done.returncode == 0, done.stderr
    path = one.source / "kiosk" / "features.py"
    assert "hours(6)" in path.read_text()
    path.write_text(path.read_text().replace("hours(6)", "hours(5)"))
    yield one
    one.world().serving.stop()


def materialize(kiosk: Kiosk, select: str, *more: str) -> subprocess.CompletedProcess[str]:
    return kiosk.run("-m", "dagster", "asset", "materialize", "-m", "kiosk.definitions", "--select", select, *more)


def refused(kiosk: Kiosk, select: str, month: str) -> str:
    """What the refusal of a stage said; nothing was written."""
    lake, address = kiosk.world().lake, select.split(",", maxsplit=1)[0]
    before = lake.digests(address)
    done = materialize(kiosk, select, "--partition", month)
    assert done.returncode != 0
    assert lake.digests(address) == before
    return done.stdout + done.stderr


def shown(kiosk: Kiosk) -> Any:
    """What the page of the registry says is to be built again."""
    with dg.DagsterInstance.from_config(str(kiosk.home / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["feature", "kiosk", "registry"]))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata["to_build_again"].value


def test_the_registry_shows_what_the_change_makes_due_before_anything_is_built_again(kiosk: Kiosk) -> None:
    assert shown(kiosk) == "Every feature table was built with the definition that the code holds."
    rows = kiosk.world().lake.read(VIEW).collect().height
    done = materialize(kiosk, "feature/kiosk/registry")
    assert done.returncode == 0, done.stderr
    assert shown(kiosk).splitlines()[2:] == [f"| {VIEW} | 2 ({FIRST} to {LAST}) | {rows:,} | late, wait |"]


def test_the_live_version_goes_on_with_the_rows_that_it_was_trained_on(kiosk: Kiosk) -> None:
    before = kiosk.world().lake.digests("prediction/late/batch")
    done = materialize(kiosk, "prediction/late/batch", "--partition", LAST)
    assert done.returncode == 0, done.stderr
    assert kiosk.world().lake.digests("prediction/late/batch") == before


def test_a_model_made_again_of_the_training_set_from_before_the_change_is_the_same_model(kiosk: Kiosk) -> None:
    def fitted() -> Any:
        return kiosk.world().lake.read("model/late/parts", partitions=[LAST]).collect().row(0, named=True)["content_hash"]

    before = fitted()
    done = materialize(kiosk, "model/late/parts", "--partition", LAST)
    assert done.returncode == 0, done.stderr
    assert fitted() == before


def test_no_model_is_trained_until_every_month_is_built_again(kiosk: Kiosk) -> None:
    said = refused(kiosk, TRAIN, LAST)
    assert f"training_set/late/examples {LAST}: features were built with other definitions than the code has now" in said
    assert f"{VIEW}: {FIRST}, {LAST}" in said
    assert materialize(kiosk, VIEW, "--partition", FIRST).returncode == 0
    assert f"{VIEW}: {LAST}" in refused(kiosk, TRAIN, LAST)


def test_rows_of_the_new_definition_are_not_given_to_a_version_that_was_trained_on_the_old_one(kiosk: Kiosk) -> None:
    assert f"late {LAST}: version 1 was trained on another definition of {VIEW}" in refused(kiosk, "prediction/late/batch", LAST)


def test_online_rows_of_both_definitions_answer_while_a_version_of_the_old_one_is_live(kiosk: Kiosk) -> None:
    assert materialize(kiosk, VIEW.replace("feature", "online"), "--partition", FIRST).returncode == 0
    world, at = kiosk.world(), kiosk.world().clock.now()
    live = world.registry.ledger().live("late")
    assert live is not None
    trained = [Lookup.of(one) for one in world.registry.load(live).signature["lookups"]]
    stalls = world.lake.read(VIEW, columns=["stall"]).unique().sort("stall").collect()
    old = world.feature_store.online("late", stalls, at=at, lookups=trained)
    new = world.feature_store.online("late", stalls, at=at)
    for status in (old["stall_lately__status"], new["stall_lately__status"]):
        assert {*status} == {"fresh"}
    held = world.lake.read(VIEW).sort("event_timestamp").group_by("stall").last().sort("stall").collect()
    assert old["stall_lately__handed_1d"].to_list() == new["stall_lately__handed_1d"].to_list() == held["handed_1d"].to_list()
    assert old["stall_lately__wait_7d"].to_list() == new["stall_lately__wait_7d"].to_list() == held["wait_7d"].to_list()


def test_once_all_is_built_and_trained_again_the_next_month_goes_its_way(kiosk: Kiosk) -> None:
    assert materialize(kiosk, VIEW, "--partition", LAST).returncode == 0
    for model in ("late", "wait"):
        assert materialize(kiosk, TRAIN.replace("late", model), "--partition", LAST).returncode == 0
        assert materialize(kiosk, f"release/{model}/live").returncode == 0
    done = kiosk.replay(until=NEXT)
    assert done.returncode == 0, done.stderr
    world = kiosk.world()
    predicted = world.lake.read("prediction/late/batch", partitions=[NEXT]).collect()
    live = world.registry.ledger().live_for("late", predicted["predict_at"].to_list()[-1])
    assert live is not None
    assert set(predicted["content_hash"]) == {live.content_hash}
    assert live.version == 3


def test_rows_of_the_old_definition_are_forgotten_once_nobody_live_was_trained_on_it(kiosk: Kiosk) -> None:
    assert materialize(kiosk, VIEW.replace("feature", "online"), "--partition", NEXT).returncode == 0
    rows = opened("", home=kiosk.home / "features")
    assert len(rows.layouts("kiosk", "stall_lately")) == 1
    rows.close()
