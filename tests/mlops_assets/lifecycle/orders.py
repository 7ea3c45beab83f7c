"""A small world for the pure functions of the lifecycle: orders at a counter, one view, two models. Rows are written by hand."""

from datetime import UTC as ZONE
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from mlops_assets.specs import (
    EntitySpec,
    Expanding,
    FeatureViewSpec,
    Gate,
    Log,
    ModelSpec,
    Months,
    Parts,
    Serving,
    SourceSpec,
    TrainingData,
    at_least,
    before,
    hours,
    months,
    value,
)
from mlops_assets.table import ALWAYS, UTC, Table, column
from mlops_assets.windows import count, mean
from resources.registry.releases import Release

CALENDAR: Final = Months(timezone="America/New_York")
PACKAGE: Final = "tests.mlops_assets.lifecycle"
NOON: Final = datetime(2020, 1, 10, 17, tzinfo=ZONE)


class Orders(Table, available="placed_at"):
    """One order."""

    order_id: str = column(unique=True)
    month: str
    stall: str
    items: int
    placed_at: UTC
    due_at: UTC
    handed_at: UTC | None = column(available="handed_at")
    wait: float | None = column(available="handed_at", absent_when="lost")
    lost: bool = column(available="due_at")


class Stalls(Table, available=ALWAYS):
    """One stall."""

    stall: str = column(unique=True)
    seats: int


def as_it_is(rows: pl.DataFrame) -> pl.DataFrame:
    """A parse or compute that changes nothing."""
    return rows


def fit(data: TrainingData, log: Log) -> Parts:
    """The mean label."""
    log.params(kind="mean")
    return {"mean": float(data.everything()[data.label].to_numpy().mean())}


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """A mean and a bit for every item, inside (0, 1)."""
    return (examples["items"] * parts.get("item", 0.01) + parts["mean"]).cast(pl.Float64)


def asked(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """What a network says of the number of items; only a loaded one can be asked."""
    rows = examples.select(pl.col("items").cast(pl.Float32)).to_numpy()
    return pl.Series(parts["net"].run(None, {"x": rows})[0]).cast(pl.Float64)


ORDERS: Final = SourceSpec(
    table="counter/orders", contract=Orders, owner="team:counter", parse=as_it_is, partitions=CALENDAR, lands="as_declared"
)
REGISTER: Final = SourceSpec(table="counter/stalls", contract=Stalls, owner="team:counter", parse=as_it_is, lands="as_declared")
STALL: Final = EntitySpec(name="stall", key="stall")
LATELY: Final = FeatureViewSpec(
    name="lately", entity=STALL, source=ORDERS, owner="team:counter",
    features={"wait_2h": mean(Orders.wait, over=hours(2)), "handed_2h": count(Orders.wait, over=hours(2))},
)  # fmt: skip
SEATS: Final = FeatureViewSpec(
    name="seats", entity=STALL, source=REGISTER, owner="team:counter", features={"seats": int}, compute=as_it_is, reads=(Stalls.seats,)
)
WHERE: Final[dict[str, Any]] = {
    "owner": "team:counter", "seed": 7, "examples": ORDERS, "predict_at": before(Orders.due_at, hours=1),
    "features": (LATELY, Orders.items), "train": fit, "score": predict,
    "train_on": Expanding(since="2020-01", at_least=months(1)), "serving": Serving(request=(Orders.order_id,)),
}  # fmt: skip
GATE: Final = Gate(floors={"auc": 0.6}, slices=(Orders.stall,))
LATE: Final = ModelSpec(name="late", label=at_least(Orders.wait, 20), positive="waits 20 minutes", gate=GATE, **WHERE)
WAIT: Final = ModelSpec(name="wait", label=value(Orders.wait), **WHERE)


def order(name: str, *, due: datetime = NOON, wait: float | None = 5.0, lost: bool = False, **more: Any) -> dict[str, Any]:
    """One row of the table, as the lake would hold it."""
    handed = None if wait is None else due + timedelta(minutes=wait)
    row = {"order_id": name, "month": f"{due:%Y-%m}", "stall": "east", "items": 1, "placed_at": due - timedelta(hours=3), "due_at": due}
    ingested = datetime(due.year, due.month, 1, tzinfo=ZONE) + timedelta(days=32)
    return {**row, "handed_at": handed, "wait": wait, "lost": lost, "ingested_at": ingested, **more}


def orders(*rows: dict[str, Any]) -> pl.DataFrame:
    """A table of orders."""
    types = {name: col.dtype for name, col in Orders.columns.items()}
    return pl.DataFrame(list(rows), schema={**types, "ingested_at": pl.Datetime("us", "UTC")})


def release(*, parts: Parts | None = None, trained_until: date = date(2020, 1, 20), name: str = "a" * 64) -> Release:
    """A release of ``late`` as the store would load it."""
    signature: dict[str, Any] = {
        "entry": f"{PACKAGE}.orders:predict",
        "features": {"items": {}},
        "request": {"order_id": {}},
        "code_hash": "c",
    }
    record = {"identity": {"trained_until": trained_until.isoformat(), "views": {"stall_lately": "v1"}}}
    return Release(model="late", content_hash=name, parts=parts or {"mean": 0.2}, record=record, signature=signature)
