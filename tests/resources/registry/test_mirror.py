"""MLflow follows the ledger: versions, tags and aliases as a stock client sees them, and what was moved by hand is put back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from resources.registry import acts
from resources.registry.acts import By
from resources.registry.mirror import follow, wanted
from resources.registry.resource import Registry
from resources.registry.states import Entry
from resources.tracking.resource import Tracking, TrackingFailed
from tests.resources.registry.records import WHOLE

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
CLEANER = By(actor="cleaner", data_at=APRIL, why="nobody needs it")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))


class Desk:
    """One model in a ledger of its own, in the store that the module's tests share, seen by a stock client."""

    def __init__(self, model: str, folder: Path, tracking: Tracking) -> None:
        self.model = model
        self.tracking = tracking
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        tracking.client()
        self.client: Any = MlflowClient(tracking_uri=tracking.uri)

    def register(self, weight: float) -> str:
        releases = self.registry.releases()
        name = releases.write(self.model, {"weight": weight}, WHOLE, {})
        with self.tracking.run(f"{self.model} {weight}", experiment=self.model) as run:
            run.artifact("model", releases.path(self.model, name))
        self.registry.register(self.model, name, mlflow_run_id=run.id, actor="gate", data_at=APRIL)
        return name

    def promote(self, version: int, after: timedelta | None = None) -> None:
        at = None if after is None else datetime.now(UTC) + after
        self.registry.promote(self.model, version, actor="gate", data_at=APRIL, activate_at=at)

    def entries(self) -> tuple[Entry, ...]:
        return self.registry.ledger().entries(self.model)

    def follow(self) -> list[str]:
        return follow(self.registry.ledger(), self.tracking, model=self.model)

    def aliases(self) -> dict[str, str]:
        return {alias: str(version) for alias, version in self.client.get_registered_model(self.model).aliases.items()}

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.client.get_model_version(self.model, str(version)).tags)


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, tracking: Tracking) -> Desk:
    return Desk(request.node.name, tmp_path, tracking)


def test_a_registered_release_is_a_version_with_its_parts(desk: Desk, tmp_path: Path) -> None:
    name = desk.register(1.0)
    assert desk.follow() == []
    version = desk.client.get_model_version(desk.model, "1")
    assert (version.source or "").endswith("/artifacts/model")
    assert version.tags == {"content_hash": name, "ledger_seq": "1", "ledger_version": "1", "state": "candidate"}
    assert Path(desk.client.download_artifacts(version.run_id or "", "model/weight.json", str(tmp_path))).read_text() == "1.0"
    assert desk.aliases() == {"candidate": "1"}


def test_a_promotion_moves_the_aliases(desk: Desk) -> None:
    desk.register(1.0)
    desk.promote(1)
    desk.register(2.0)
    assert (desk.follow(), desk.aliases()) == ([], {"production": "1", "candidate": "2"})
    desk.promote(2)
    assert (desk.follow(), desk.aliases()) == ([], {"production": "2"})
    assert [desk.tags(version)["state"] for version in (1, 2)] == ["retired", "live"]


def test_a_version_whose_bytes_were_freed_says_so_and_stays(desk: Desk) -> None:
    for number, weight in enumerate((1.0, 2.0), start=1):
        desk.register(weight)
        desk.promote(number)
    desk.follow()
    before = wanted(desk.entries(), datetime.now(UTC))
    entry = acts.free(desk.registry.desk(), desk.model, 1, CLEANER)
    assert wanted(desk.entries(), datetime.now(UTC)) != before  # so that the sensor lets MLflow follow
    assert (desk.follow(), desk.follow()) == ([], [])
    kept, gone = (desk.client.get_model_version(desk.model, number) for number in ("2", "1"))
    day = f"freed on {entry.at:%Y-%m-%d}"
    assert (gone.tags["released_bytes"], gone.tags["state"]) == (day, "retired")
    assert gone.description.startswith(f"The bytes of this version were {day} by cleaner: nobody needs it. Its source points at nothing")
    assert ("released_bytes" in kept.tags, kept.description) == (False, None)
    found = desk.client.search_model_versions(f"name = '{desk.model}' and tags.released_bytes = '{day}'")
    assert [one.version for one in found] == [1]


def test_bytes_that_are_back_are_no_longer_said_to_be_freed(desk: Desk) -> None:
    for number, weight in enumerate((1.0, 2.0), start=1):
        desk.register(weight)
        desk.promote(number)
    acts.free(desk.registry.desk(), desk.model, 1, CLEANER)
    desk.follow()
    acts.roll_back(desk.registry.desk(), desk.model, CLEANER, to=1)  # its month was trained again, and its bytes are back
    desk.follow()
    again = desk.client.get_model_version(desk.model, "1")
    assert ("released_bytes" in again.tags, again.description) == (False, "")


def test_what_is_promoted_for_later_is_in_staging_until_then(desk: Desk) -> None:
    desk.register(1.0)
    desk.promote(1)
    desk.register(2.0)
    desk.promote(2, after=timedelta(hours=1))
    desk.follow()
    assert desk.aliases() == {"production": "1", "staging": "2"}
    assert [desk.tags(version)["state"] for version in (1, 2)] == ["live", "approved"]


def test_following_again_changes_nothing(desk: Desk) -> None:
    desk.register(1.0)
    desk.promote(1)
    desk.follow()
    before = desk.client.get_registered_model(desk.model)
    assert desk.follow() == []
    after = desk.client.get_registered_model(desk.model)
    assert (before.aliases, before.tags, before.last_updated_timestamp) == (after.aliases, after.tags, after.last_updated_timestamp)
    assert len(desk.client.search_model_versions(f"name = '{desk.model}'")) == 1


def test_an_alias_moved_by_hand_is_put_back_and_reported(desk: Desk) -> None:
    desk.register(1.0)
    desk.register(2.0)
    desk.promote(2)
    desk.follow()
    desk.client.set_registered_model_alias(desk.model, "production", "1")
    said = "alias production was moved by hand to version 1; put back to version 2, as the ledger says"
    assert desk.follow() == [f"{desk.model}: {said}"]
    assert (desk.aliases()["production"], desk.follow()) == ("2", [])


def test_an_alias_deleted_by_hand_is_put_back_and_reported(desk: Desk) -> None:
    desk.register(1.0)
    desk.follow()
    desk.client.delete_registered_model_alias(desk.model, "candidate")
    assert desk.follow() == [f"{desk.model}: alias candidate was moved by hand to nothing; put back to version 1, as the ledger says"]
    assert desk.aliases() == {"candidate": "1"}


def test_an_alias_that_the_ledger_gives_to_nobody_is_taken_away(desk: Desk) -> None:
    desk.register(1.0)
    desk.follow()
    desk.client.set_registered_model_alias(desk.model, "production", "1")
    assert desk.follow() == [f"{desk.model}: alias production was moved by hand to version 1; taken away, as the ledger says"]
    assert desk.aliases() == {"candidate": "1"}


def test_an_alias_of_somebody_else_is_left_alone(desk: Desk) -> None:
    desk.register(1.0)
    desk.follow()
    desk.client.set_registered_model_alias(desk.model, "shadow", "1")
    assert (desk.follow(), desk.aliases()) == ([], {"candidate": "1", "shadow": "1"})


def test_a_version_labelled_by_hand_as_another_gets_its_label_back(desk: Desk) -> None:
    first, second = desk.register(1.0), desk.register(2.0)
    desk.promote(2)
    desk.follow()
    for version, name in (("1", second), ("2", "f" * 64)):
        desk.client.set_model_version_tag(desk.model, version, "content_hash", name)
    desk.follow()
    assert [desk.tags(version)["content_hash"] for version in (1, 2)] == [first, second]
    assert desk.aliases() == {"candidate": "1", "production": "2"}
    assert len(desk.client.search_model_versions(f"name = '{desk.model}'")) == 2


def test_a_live_version_without_its_run_is_followed_all_the_same(desk: Desk) -> None:
    desk.register(1.0)
    desk.promote(1)
    desk.follow()
    desk.client.delete_run(desk.client.get_model_version(desk.model, "1").run_id)
    desk.follow()
    name = desk.aliases()["production"]
    assert desk.tags(int(name))["state"] == "live"


def test_a_version_deleted_by_hand_comes_back_under_a_new_number(desk: Desk) -> None:
    name = desk.register(1.0)
    desk.promote(1)
    desk.register(2.0)
    desk.follow()
    desk.client.delete_model_version(desk.model, "1")
    assert desk.follow()[0] == f"{desk.model}: version 1 was deleted by hand; it is version 3 again"
    assert desk.aliases() == {"production": "3", "candidate": "2"}
    assert (desk.tags(3)["content_hash"], desk.tags(3)["ledger_version"]) == (name, "1")
    assert desk.follow() == []


STOPS = [
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_registered_model_tag",
]


@pytest.mark.parametrize("call", STOPS)
@pytest.mark.parametrize("done", [False, True])
def test_stopped_between_any_two_calls_the_next_one_heals_it(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    done: bool,  # noqa: FBT001  # a table of cases
) -> None:
    desk.model = f"heal_{call}_{done}"
    desk.register(1.0)
    desk.promote(1)
    client, real = cast("Any", desk.tracking.client()), getattr(MlflowClient, call)

    def stop(*given: object, **more: object) -> None:
        if done:
            real(client, *given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(client, call, stop)
    with pytest.raises(KeyboardInterrupt):
        desk.follow()
    monkeypatch.setattr(client, call, getattr(MlflowClient, call).__get__(client))
    assert desk.follow() == []
    assert (desk.aliases(), desk.tags(1)["state"]) == ({"production": "1"}, "live")
    assert len(desk.client.search_model_versions(f"name = '{desk.model}'")) == 1


@pytest.mark.parametrize("call", ["update_model_version", "set_model_version_tag"])
def test_stopped_while_it_says_that_bytes_were_freed_the_next_one_says_all_of_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    desk.model = f"freed_{call}"
    for number, weight in enumerate((1.0, 2.0), start=1):
        desk.register(weight)
        desk.promote(number)
    desk.follow()
    acts.free(desk.registry.desk(), desk.model, 1, CLEANER)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.tracking.client(), call, stop)
        with pytest.raises(KeyboardInterrupt):
            desk.follow()
    assert "released_bytes" not in desk.tags(1)
    desk.follow()
    assert desk.tags(1)["released_bytes"].startswith("freed on 20")
    assert desk.client.get_model_version(desk.model, "1").description.startswith("The bytes of this version were freed on 20")


def test_a_release_whose_run_is_gone_is_still_a_version(desk: Desk) -> None:
    name = desk.registry.releases().write(desk.model, {"weight": 1.0}, WHOLE, {})
    desk.registry.register(desk.model, name, mlflow_run_id="gone", actor="gate", data_at=APRIL)
    desk.follow()
    assert desk.client.get_model_version(desk.model, "1").source == f"release:{desk.model}/{name}"


def test_a_model_that_was_never_registered_is_not_made(desk: Desk) -> None:
    assert desk.follow() == []
    assert desk.client.search_registered_models(f"name = '{desk.model}'") == []


def test_a_version_waits_until_its_run_was_delivered(desk: Desk) -> None:
    away = Tracking(uri="http://127.0.0.1:9", artifacts="", spool=str(desk.tracking.spool_folder))
    name = desk.registry.releases().write(desk.model, {"weight": 1.0}, WHOLE, {})
    with away.run(f"{desk.model} 1.0", experiment=desk.model) as run:
        run.artifact("model", desk.registry.releases().path(desk.model, name))
    desk.registry.register(desk.model, name, mlflow_run_id=run.id, actor="gate", data_at=APRIL)
    with pytest.raises(TrackingFailed, match="it has not been delivered yet"):
        desk.follow()
    assert desk.tracking.deliver() == []
    desk.follow()
    version = desk.client.get_model_version(desk.model, "1")
    assert version.run_id == desk.tracking.resolved(run.id)
    assert version.source == f"{desk.client.get_run(version.run_id).info.artifact_uri}/model"
