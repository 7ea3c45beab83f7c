"""What an apply would change, and which versions of each view the registry keeps."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.feature_store.changes import Part, Plan, plan
from resources.feature_store.declarations import Declarations, Service, View
from resources.feature_store.registration import declared
from tests.resources.feature_store.generations import Place
from tests.resources.feature_store.scenes import DEMAND, HOUR, PRICE, SALES, world

URIS = {SALES.address: "lake/sales", PRICE.address: "lake/price"}


def said(*views: View, services: tuple[Service, ...] = (DEMAND,), uris: Mapping[str, str] = URIS) -> Declarations:
    return declared(views, services, uris)


BOTH = said(SALES, PRICE)


def test_what_is_registered_as_declared_needs_nothing() -> None:
    assert not plan(BOTH, BOTH)
    assert str(plan(BOTH, BOTH)) == "The registry says what is declared."


@pytest.mark.parametrize(
    ("after", "parts"),
    [
        (replace(SALES, spec_hash="sales-2"), ["function"]),
        (replace(SALES, features={"count_3h": "int64"}, spec_hash="sales-2"), ["features"]),
        (replace(SALES, features={"mean_3h": "float64", "count_3h": "int64"}), ["features"]),
        (replace(SALES, keys=("shop", "till"), spec_hash="sales-2"), ["keys"]),
        (replace(SALES, key_types={"shop": "int64"}), ["keys"]),
        (replace(SALES, ttl=HOUR, window=None), ["ttl", "window"]),
        (replace(SALES, window=4 * HOUR, spec_hash="sales-2"), ["window"]),
        (replace(SALES, partitioned=False), ["table"]),
        (replace(SALES, owner="team:others"), ["docs"]),
        (replace(SALES, feature_docs={"mean_3h": "Mean."}), ["docs"]),
        (replace(SALES, units={"mean_3h": "EUR"}), ["docs"]),
        (replace(SALES, tags={"level": "secret"}, spec_hash="sales-2"), ["docs", "function"]),
    ],
)
def test_a_changed_view_is_told_with_the_part_that_changed_and_the_services_that_join_it(after: View, parts: list[Part]) -> None:
    due = plan(BOTH, said(after, replace(PRICE, key_types={**PRICE.key_types, **after.key_types})))
    (change,) = [one for one in due.views if one.view == "shop_sales"]
    assert (change.kind, [*change.parts], change.services) == ("changed", parts, ("demand",))
    assert due.services == {"demand": "changed"}


def test_a_moved_table_is_a_change_of_the_table() -> None:
    (change,) = plan(BOTH, said(SALES, PRICE, uris={**URIS, SALES.address: "elsewhere"})).views
    assert (change.view, change.parts) == ("shop_sales", ("table",))


def test_words_that_mean_the_same_are_no_change() -> None:
    spelled = replace(SALES, key_types={"shop": "string"}, feature_docs={"count_3h": "Sales in three hours.", "mean_3h": ""})
    assert not plan(BOTH, said(spelled, PRICE))


def test_new_and_gone_views_and_services_are_told_apart() -> None:
    due = plan(BOTH, said(replace(SALES, name="rent"), SALES, services=(Service(name="rent", views=("shop_rent",)),)))
    assert str(due).splitlines() == [
        "shop_rent: new; touches rent", "offer_price: gone; touches demand", "rent: new", "demand: gone"
    ]  # fmt: skip
    assert (due.written, due.removed) == (("shop_rent", "rent"), ("demand", "offer_price"))


def test_a_view_that_something_else_registered_is_replaced() -> None:
    foreign = Declarations(views={"shop_sales": None}, services={}, uris={})
    (change,) = plan(foreign, said(SALES, services=())).views
    assert change.parts == ("origin",)


TEXTS = st.text("aé 'n\n;", max_size=6)
VIEWS = st.builds(
    replace,
    st.sampled_from([SALES, PRICE]),
    features=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["string", "int64", "float64", "bool"]), min_size=1),
    ttl=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    window=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    owner=TEXTS,
    description=TEXTS,
    partitioned=st.booleans(),
    tags=st.dictionaries(st.sampled_from(["level", "team"]), TEXTS),
    feature_docs=st.dictionaries(st.sampled_from("abcdef"), TEXTS),
    units=st.dictionaries(st.sampled_from("abcdef"), TEXTS.filter(bool)),
    spec_hash=TEXTS.filter(bool),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(folder=tmp_path_factory.mktemp("home"))


@settings(deadline=None, max_examples=40)
@given(view=VIEWS)
def test_whatever_is_declared_is_read_back_as_it_was(place: Place, view: View) -> None:
    view = replace(view, units={name: unit for name, unit in view.units.items() if name in view.features},
                   feature_docs={name: text for name, text in view.feature_docs.items() if name in view.features})  # fmt: skip
    store, service = place.store(), Service(name="demand", views=(view.full_name,), owner=view.owner, tags=view.tags)
    store.apply([view], [service])
    assert not store.plan([view], [service])


def tags(place: Place) -> tuple[dict[str, str], dict[str, str]]:
    with place.stock() as feast:
        view, service = feast.get_feature_view("shop_sales"), feast.get_feature_service("demand")
        return dict(view.tags), dict(service.tags)


def test_a_changed_definition_is_a_new_version_and_services_say_with_which_they_were_declared(tmp_path: Path) -> None:
    place, today = Place(folder=tmp_path), f"{datetime.now(UTC):%Y-%m-%d}"
    store = place.store()
    store.apply([SALES, PRICE], [DEMAND])
    first, joined = tags(place)
    store.apply([replace(SALES, description="Other words."), PRICE], [DEMAND])
    worded, _ = tags(place)
    store.apply([replace(SALES, spec_hash="sales-2"), PRICE], [DEMAND])
    second, joined_then = tags(place)

    assert (first["version"], first["version/1"]) == ("1", f"sales-1 {today}")
    assert worded["version"] == "1"
    assert (second["version"], second["version/1"], second["version/2"]) == ("2", f"sales-1 {today}", f"sales-2 {today}")
    assert joined == {"view/shop_sales": "1 sales-1", "view/offer_price": "1 price-1"}
    assert joined_then == {"view/shop_sales": "2 sales-2", "view/offer_price": "1 price-1"}


def test_asking_what_would_change_writes_nothing(tmp_path: Path) -> None:
    store = world(tmp_path)
    store.apply([SALES], [])
    before: Any = (Path(store.home) / "registry.db").read_bytes()
    asked = store.plan([replace(SALES, spec_hash="sales-2"), PRICE], [DEMAND])
    assert isinstance(asked, Plan)
    assert asked.written == ("shop_sales", "offer_price", "demand")
    assert (Path(store.home) / "registry.db").read_bytes() == before
