"""One small scene for each line of docs/reference/point-in-time.md: what a store may get wrong, by name."""

from collections.abc import Mapping
from typing import Any, Final

from tests.ports.scenes import BIG, HOUR, Scene, Table, hours


def table(*rows: Mapping[str, Any], **fields: Any) -> Table:
    """A view's rows of key a (and 1), without text, unless they say otherwise."""
    return Table(rows=tuple({"k": "a", "j": 1, "text": None, "created": None, **row} for row in rows), **fields)


def examples(*rows: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Examples of key a (and 1) unless they say otherwise."""
    return tuple({"k": "a", "j": 1, **row} for row in rows)


def of_two_keys(*rows: Mapping[str, Any]) -> Table:
    """A view's rows of key (k, j)."""
    return table(*rows, keys=("k", "j"))


LATE: Final = table({"ts": hours(0), "x": 1, "created": hours(0)}, {"ts": hours(1), "x": 2, "created": hours(5)}, created=True)
OVERTAKEN: Final = table({"ts": hours(1), "x": 1, "created": hours(1)}, {"ts": hours(0), "x": 2, "created": hours(2)}, created=True)
ONE: Final = table({"ts": hours(0), "x": 1})
ASKED: Final = examples({"at": hours(3)})

KINDS: Final[Mapping[str, Scene]] = {
    "a row as old as its ttl": Scene(tables=(table({"ts": hours(0), "x": 1}, ttl=2 * HOUR),), examples=examples({"at": hours(2)})),
    "a row older than its ttl": Scene(tables=(table({"ts": hours(0), "x": 1}, ttl=2 * HOUR),), examples=ASKED),
    "a row of that very instant": Scene(tables=(ONE,), examples=examples({"at": hours(0)})),
    "a row from the future": Scene(tables=(table({"ts": hours(5), "x": 1}),), examples=ASKED),
    "an unknown key": Scene(tables=(ONE,), examples=examples({"at": hours(3), "k": "b"})),
    "equal instants": Scene(tables=(table({"ts": hours(1), "x": 1}, {"ts": hours(1), "x": 2}),), examples=ASKED),
    "equal instants, created apart": Scene(
        tables=(table({"ts": hours(1), "x": 1, "created": hours(3)}, {"ts": hours(1), "x": 2, "created": hours(2)}, created=True),),
        examples=ASKED,
    ),
    "equal instants, one without creation": Scene(
        tables=(table({"ts": hours(1), "x": 1, "created": hours(3)}, {"ts": hours(1), "x": 2}, created=True),), examples=ASKED
    ),
    "a late row": Scene(tables=(LATE,), examples=ASKED),
    "a late row, as known": Scene(tables=(LATE,), examples=ASKED, as_known=True),
    "a late row that something newer has overtaken, as known": Scene(tables=(OVERTAKEN,), examples=ASKED, as_known=True),
    "a row without creation, as known": Scene(tables=(table({"ts": hours(0), "x": 1}, created=True),), examples=ASKED, as_known=True),
    "a null feature in the last row": Scene(tables=(table({"ts": hours(0), "x": 1}, {"ts": hours(1), "x": None}),), examples=ASKED),
    "the same example twice": Scene(tables=(ONE,), examples=ASKED + ASKED),
    "examples that differ in the key of another view": Scene(
        tables=(ONE, of_two_keys({"ts": hours(0), "x": 2}, {"ts": hours(0), "x": 3, "j": 2})),
        examples=examples({"at": hours(3)}, {"at": hours(3), "j": 2}),
    ),
    "a found example before one that is not": Scene(tables=(ONE,), examples=examples({"at": hours(3)}, {"at": hours(3), "k": "b"})),
    "a null key on both sides": Scene(
        tables=(table({"ts": hours(0), "x": 1, "k": None}, {"ts": hours(0), "x": 2}),), examples=examples({"at": hours(3), "k": None})
    ),
    "a feature row without an instant": Scene(tables=(table({"ts": None, "x": 1}, {"ts": hours(0), "x": 2, "k": "b"}),), examples=ASKED),
    "an example without an instant": Scene(tables=(ONE,), examples=examples({"at": hours(1)}, {"at": None})),
    "instants without a time zone": Scene(
        tables=(table({"ts": hours(0), "x": 1}, zone=None),), examples=examples({"at": hours(0)}), zone=None
    ),
    "instants in another time zone": Scene(
        tables=(table({"ts": hours(0), "x": 1}, zone="America/New_York"),), examples=examples({"at": hours(0)}), zone="America/New_York"
    ),
    "instants a few nanoseconds apart": Scene(
        tables=(table({"ts": hours(0, tick=300), "x": 1}, unit="ns"),),
        examples=examples({"at": hours(0, tick=200)}, {"at": hours(0, tick=400)}),
        unit="ns",
    ),
    "nanoseconds against microseconds": Scene(
        tables=(table({"ts": hours(0, tick=300), "x": 1}, unit="ns"),), examples=examples({"at": hours(0)}, {"at": hours(0, tick=1000)})
    ),
    "a large integer beside a missing one": Scene(
        tables=(table({"ts": hours(0), "x": BIG}),), examples=examples({"at": hours(3)}, {"at": hours(3), "k": "b"})
    ),
    "an integer key that no float holds": Scene(
        tables=(of_two_keys({"ts": hours(0), "x": 1, "j": BIG}, {"ts": hours(0), "x": 2, "j": BIG - 1}),),
        examples=examples({"at": hours(3), "j": BIG}),
    ),
    "an example's column of instants with another name": Scene(tables=(ONE,), examples=ASKED, time_column="when"),
    "a row that a Delta table had once": Scene(
        tables=(table({"ts": hours(0), "x": 1}, kind="FileSource on Delta", once=({"k": "a", "ts": hours(1), "x": 2},)),), examples=ASKED
    ),
}
