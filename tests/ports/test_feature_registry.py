"""What a feature registry promises, on SQLite and on a real Postgres."""

import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.feature_store import registry_lock
from resources.feature_store.refusals import RegistryBusy
from tests.resources.feature_store.generations import Place, Told, generation, hold, joined, kills, started
from tests.resources.feature_store.scenes import DEMAND, NOON, PRICE, SALES, examples, filled
from tests.servers.postgres import Postgres, postgres

KILLS = 5


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "sqlite":
        return Place(folder=tmp_path)
    server: Postgres = request.getfixturevalue("server")
    monkeypatch.setenv("PGPASSWORD", server.password)
    return Place(folder=tmp_path, url=server.database(), password=server.password)


def stamps(place: Place) -> dict[str, Any]:
    with place.stock() as feast:
        return {view.name: view.last_updated_timestamp for view in feast.list_feature_views()}


def test_equal_declarations_write_nothing(place: Place) -> None:
    store = place.store()
    first = store.apply(*generation(1))
    before = stamps(place)

    assert len(first.changed) == 14
    assert not store.plan(*generation(1))
    assert store.apply(*generation(1)).changed == ()
    assert stamps(place) == before


def test_two_processes_that_apply_all_the_time_lose_nothing(place: Place) -> None:
    place.store().apply(*generation(0))
    joined([started(place, first=1, step=2, times=15), started(place, first=2, step=2, times=15)])

    told = place.told()

    assert sorted(place.acknowledged) == list(range(1, 31))
    assert told.views == told.services
    assert told.views <= {"29", "30"}
    assert told.versions == {"31"}, "one version for each of the 31 applies"


def test_whoever_comes_first_on_a_fresh_folder_makes_the_registry_for_all(place: Place) -> None:
    joined([started(place, first=number, times=1) for number in range(1, 5)])
    told = place.told()
    assert (len(told.views), told.versions) == (1, {"4"})


def test_a_reader_finds_the_registry_of_one_apply_while_others_write(place: Place) -> None:
    place.store().apply(*generation(0))
    writer, seen = started(place, first=1, times=25), set[str]()
    while writer.is_alive():
        registered = place.store().plan([], []).views
        said = {name for one in registered if (name := one.view).startswith("shop_sales_of_")}
        assert len(registered) == 12
        assert len(said) == 1
        seen |= said
    joined([writer])
    assert len(seen) > 2


def test_the_second_writer_waits_and_goes_on_when_the_first_is_killed(place: Place) -> None:
    place.store().apply(*generation(0))
    holder = hold(place)
    second = threading.Thread(target=place.store().apply, args=generation(1))
    second.start()
    second.join(0.7)
    assert second.is_alive()

    holder.kill()
    second.join(20)

    assert not second.is_alive()
    assert place.told().views == {"1"}


def test_a_writer_that_never_ends_is_named_and_nothing_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.store().apply(*generation(0))
    holder = hold(place)
    short = {
        dialect: tuple(line.replace("120000", "300").replace("120s", "300ms") for line in lines)
        for dialect, lines in registry_lock.LOCK.items()
    }
    monkeypatch.setattr(registry_lock, "LOCK", short)
    began = time.monotonic()
    with pytest.raises(RegistryBusy, match="was being written by another process for 120 s, so nothing was applied here"):
        place.store().apply(*generation(1))
    assert time.monotonic() - began < 10
    holder.kill()
    holder.join()
    assert place.told().views == {"0"}


def test_a_kill_at_any_moment_leaves_a_whole_registry(place: Place) -> None:
    kills(place, times=KILLS, seed=time.time_ns())


def test_an_apply_that_fails_half_way_leaves_the_registry_as_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.store()
    store.apply(*generation(0))
    from feast.infra.passthrough_provider import PassthroughProvider

    def broken(*_: object, **__: object) -> None:
        raise OSError("no space left on the device of the online store")

    monkeypatch.setattr(PassthroughProvider, "update_infra", broken)
    with pytest.raises(OSError, match="no space left"):
        store.apply(*generation(1))
    assert place.told() == Told(views={"0"}, services={"0"}, versions={"1"})


def test_a_view_that_feast_wrote_back_as_it_was_is_registered_anew(place: Place) -> None:
    store = place.store()
    store.apply(*generation(0))
    with place.stock() as feast:  # what `feast materialize` does when an apply comes between its reading and its writing
        before = feast.get_feature_view("shop_sales0")
        store.apply(*generation(1))
        feast.registry.apply_feature_view(before, "shops")

    assert store.plan(*generation(1)).written == ("shop_sales0", "model0")
    store.apply(*generation(1))

    assert place.told().views == {"1"}


def test_the_url_never_holds_the_password(place: Place) -> None:
    store = place.store()
    store.apply(*generation(0))
    said = (Path(store.home) / "feature_store.yaml").read_text()
    assert "password" not in said
    assert place.password not in said or not place.password
    assert replace(place, password="").store().plan(*generation(0)).views == ()


def test_applies_change_nothing_for_those_who_materialize_and_read(place: Place) -> None:
    filled(place.folder)
    store = place.store()
    store.apply([SALES, PRICE], [DEMAND])
    spine = examples([("north", 1, NOON), ("south", 1, NOON)])
    entities, expected = spine.select("shop", "article"), store.historical("demand", spine)

    def apply() -> None:
        for number in range(12):
            store.apply([replace(SALES, description=f"{number}"), PRICE], [DEMAND])

    writer = threading.Thread(target=apply)
    writer.start()
    while writer.is_alive():
        store.materialize(["shop_sales", "offer_price"], until=NOON)
        assert store.historical("demand", spine).equals(expected)
        online = store.online("demand", entities, at=NOON)
        assert online["shop_sales__count_3h"].to_list() == expected["shop_sales__count_3h"].to_list()
    writer.join()
    with place.stock() as feast:
        assert feast.get_feature_view("shop_sales").description == "11"
