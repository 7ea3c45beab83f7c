"""Declarations: what the platform reads off them, and what cannot be meant, refused while definitions load."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mlops_assets.specs import Catalogue, EntitySpec, Expanding, Fair, Gate, Serving, before, days, value
from mlops_assets.table import UTC, DeclarationError, Table, column
from mlops_assets.windows import count, mean
from tests.mlops_assets.lifecycle.orders import LATE, LATELY, ORDERS, REGISTER, SEATS, STALL, WAIT, Orders, Stalls, as_it_is

Spec = Any
FUTURE = "that would show the future. Stamp them handed_at, or leave `stamp` out and the platform takes the latest."
Said = Mapping[str, Any]


class Notes(Table, available="written_at", level="confidential"):
    """A table that few may read."""

    stall: str = column(unique=True)
    stars: int
    written_at: UTC


NOTES = replace(REGISTER, table="counter/notes", contract=Notes)
STARS = replace(LATELY, name="stars", source=NOTES, features={"stars_1d": mean(Notes.stars, over=days(1))})
PURE = replace(LATELY, compute=as_it_is, reads=(Orders.items, Orders.wait), features={"busy": float})
GUEST = EntitySpec(name="guest", key=("stall", "guest"))
ALL = Catalogue(project="lifecycle", sources=(ORDERS, REGISTER), views=(LATELY, SEATS), models=(LATE, WAIT))


def test_a_view_is_stamped_with_the_latest_instant_of_what_it_reads_or_with_the_one_that_it_names() -> None:
    assert PURE.instants == ("handed_at", "placed_at")
    assert replace(PURE, reads=(Orders.items,), stamp=Orders.due_at).instants == ("due_at", "placed_at")
    assert (SEATS.instants, SEATS.address, GUEST.keys, STALL.keys) == ((), "stall/seats", ("stall", "guest"), ("stall",))


def test_a_model_knows_its_views_columns_label_and_task() -> None:
    assert LATE.feature_names == ("stall_lately__wait_2h", "stall_lately__handed_2h", "items")
    assert (LATE.views, LATE.columns, LATE.slices, LATE.request) == ((LATELY,), (Orders.items,), (Orders.stall,), (Orders.order_id,))
    assert (LATE.task, WAIT.task, LATE.label_column, WAIT.label_column) == ("classification", "regression", Orders.wait, value(Orders.wait))
    assert (replace(LATE, serving=None).request, replace(LATE, gate=None).slices) == ((), ())


def test_what_is_made_of_confidential_rows_is_confidential_and_says_so() -> None:
    assert (STARS.level, NOTES.level) == (None, "confidential")
    assert replace(LATE, features=(STARS,), level="restricted").level == "restricted"


def test_a_catalogue_finds_the_package_of_its_project() -> None:
    assert ALL.package == "tests.mlops_assets.lifecycle"


REFUSED: list[tuple[Spec, Said, str]] = [
    (ORDERS, {"table": "orders"}, "orders: this is no name. Take `noun/name` of letters, digits and underscores."),
    (ORDERS, {"owner": "ann"}, "counter/orders: owner 'ann' must be a team, `team:name`."),
    (REGISTER, {"partitions": ORDERS.partitions}, "counter/stalls: a monthly source declares its local month: write `month: str` in"),
    (ORDERS, {"reject_at_most": 2}, "counter/orders: reject_at_most=2 must be a share of rows, from 0 to 1."),
    (LATELY, {"name": "last week"}, "stall/last week: this is no name. Take `noun/name` of letters, digits and underscores."),
    (LATELY, {"owner": ""}, "stall/lately: owner '' must be a team, `team:name`."),
    (LATELY, {"features": {}}, "stall/lately: give windows, or `compute=` with `reads=` and plain types, not a mixture."),
    (LATELY, {"features": {"busy": float}}, "stall/lately: give windows, or `compute=` with `reads=` and plain types, not a mixture."),
    (LATELY, {"compute": as_it_is}, "stall/lately: give windows, or `compute=` with `reads=` and plain types, not a mixture."),
    (PURE, {"features": {**PURE.features, **LATELY.features}}, "stall/lately: give windows, or `compute=` with `reads=` and plain types"),
    (LATELY, {"ttl": days(1)}, "stall/lately: a windowed view has no ttl, because leaving the window already emits a row. Leave"),
    (PURE, {"reads": (Stalls.seats,)}, "stall/lately: reads Stalls.seats, which is not a column of Orders. Take one of order_id, month,"),
    (PURE, {"reads": (Orders.items,), "stamp": Notes.written_at}, "stall/lately: reads Notes.written_at, which is not a column of Orders."),
    (PURE, {"reads": ("items",)}, "'items' is not a column: write it as an attribute of its contract"),
    (LATELY, {"features": {"n": count(Notes.stars, over=days(1))}}, "stall/lately: reads Notes.stars, which is not a column of Orders."),
    (LATELY, {"features": {"n": count(Orders.wait, over=days(1), at=Notes.written_at)}}, "stall/lately: reads Notes.written_at, which is"),
    (
        PURE, {"stamp": Orders.placed_at},
        f"stall/lately: reads Orders.wait, known from handed_at, but its rows are stamped placed_at: {FUTURE}",
    ),
    (PURE, {"stamp": Orders.items}, "stall/lately: its rows are stamped Orders.items, which is Int64. Take an instant column, or leave"),
    (LATELY, {"entity": GUEST}, "guest/lately: entity guest is keyed by guest, which Orders lacks. Add the column there, or take another"),
    (PURE, {"features": {"stall": str}}, "stall/lately: feature stall has the name of its key or stamp. Rename it."),
    (PURE, {"features": {"event_timestamp": str}}, "stall/lately: feature event_timestamp has the name of its key or stamp. Rename it."),
    (PURE, {"features": {"busy": timedelta}}, "stall/lately: feature busy is <class 'datetime.timedelta'>. Use str, int, float or bool."),
    (STARS, {"level": "internal"}, "stall/stars: level internal is below confidential, the level of what it is made of. Say level='confid"),
    (LATE, {"name": "is late"}, "is late: this is no name. Take one word of letters, digits and underscores."),
    (LATE, {"owner": "counter"}, "late: owner 'counter' must be a team, `team:name`."),
    (LATE, {"positive": ""}, "late: say in words what a positive is: `positive=...`."),
    (LATE, {"features": (LATELY, Stalls.seats)}, "late: reads Stalls.seats, which is not a column of Orders. Take one of order_id, month"),
    (LATE, {"label": Stalls.seats}, "late: reads Stalls.seats, which is not a column of Orders."),
    (LATE, {"predict_at": before(Notes.written_at, hours=1)}, "late: reads Notes.written_at, which is not a column of Orders."),
    (LATE, {"features": (LATELY, Orders.lost)}, "late: Orders.lost is known only from due_at, after the prediction. Take a column that is"),
    (LATE, {"gate": Gate(slices=(Orders.wait,))}, "late: Orders.wait is known only from handed_at, after the prediction."),
    (LATE, {"gate": Gate(fair=(Fair(by=Orders.wait, metric="auc", most=0.1),))}, "late: Orders.wait is known only from handed_at, after"),
    (LATE, {"gate": Gate(floors={"acu": 0.6})}, "late: the gate bounds acu, which is not measured of a classification. Use one of au"),
    (WAIT, {"gate": Gate(fair=(Fair(by=Orders.stall, metric="ece", most=0.1),))}, "wait: the gate bounds ece, which is not measured of a"),
    (LATE, {"serving": Serving(request=(Orders.wait,))}, "late: Orders.wait is known only from handed_at, after the prediction."),
    (LATE, {"predict_at": before(Orders.handed_at, hours=1)}, "late: Orders.handed_at is known only from handed_at, after the prediction."),
    (LATE, {"predict_at": before(Orders.items, hours=1)}, "late: predict_at=Orders.items less 1:00:00 must be an instant column and"),
    (LATE, {"predict_at": before(Orders.due_at, hours=-1)}, "late: predict_at=Orders.due_at less -1 day, 23:00:00 must be"),
    (WAIT, {"label": Orders.stall}, "wait: label Orders.stall is String. A label is a number: declare it float or int."),
    (LATE, {"examples": NOTES, "features": (LATELY,)}, "late: reads Orders.stall, which is not a column of Notes."),
    (LATE, {"features": (replace(STARS, entity=EntitySpec(name="day", key="stars")),)}, "late: view day/stars is keyed by stars"),
    (LATE, {"features": (LATELY, Orders.items, Orders.items)}, "late: feature items is there twice. Remove one or rename it."),
    (LATE, {"holdout": timedelta(hours=12)}, "late: holdout=12:00:00 must be whole days, one at least: holdout=days(7)."),
    (LATE, {"validation": days(1.5)}, "late: validation=1 day, 12:00:00 must be whole days, one at least: validation=days(7)."),
    (LATE, {"train_on": Expanding(since="2020")}, "late: Expanding(since='2020', at_least=1) needs since='YYYY-MM' and at"),
    (LATE, {"train_on": Expanding(since="2020-01", at_least=0)}, "late: Expanding(since='2020-01', at_least=0) needs since='YYYY-MM' and"),
    (LATE, {"features": (STARS,)}, "late: level internal is below confidential, the level of what it is made of. Say level='confi"),
    (LATE, {"level": "public"}, "late: level public is below internal, the level of what it is made of. Say level='internal'."),
    (ALL, {"project": "my-project"}, "my-project: this is no name. Take one word of letters, digits and underscores."),
    (ALL, {"sources": ()}, "lifecycle: a catalogue needs a source. Write one and list it in `sources=`."),
    (ALL, {"replay": ("2020-01", "2020-13")}, "lifecycle: replay=('2020-01', '2020-13') must be two months, ('YYYY-MM', 'YYYY-MM')."),
    (ALL, {"sources": (ORDERS, ORDERS)}, "lifecycle: source counter/orders is there twice. Remove one or rename it."),
    (ALL, {"views": (LATELY, LATELY)}, "lifecycle: feature view stall/lately is there twice. Remove one or rename it."),
    (ALL, {"models": (LATE, replace(WAIT, name="late"))}, "lifecycle: model late is there twice. Remove one or rename it."),
    (ALL, {"sources": (ORDERS,)}, "lifecycle: view stall/seats reads counter/stalls, which is not listed. Add it to `sources=`."),
    (ALL, {"sources": (REGISTER,), "views": (SEATS,)}, "lifecycle: model late takes examples from counter/orders, which is not listed"),
    (ALL, {"views": (SEATS,)}, "lifecycle: model late uses view stall/lately, which is not listed. Add it to `views=`."),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "said", "sentence"), REFUSED)
def test_a_declaration_that_cannot_be_meant_is_refused_with_thing_culprit_and_fix(spec: Spec, said: Said, sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        replace(spec, **said)
    assert str(refused.value).startswith(sentence)


def test_a_project_that_is_not_called_after_its_package_is_refused() -> None:
    with pytest.raises(
        DeclarationError, match=r"counter: tests.mlops_assets.lifecycle.orders is not inside a package called counter; name"
    ):
        _ = replace(ALL, project="counter").package
