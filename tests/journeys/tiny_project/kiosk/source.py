"""Orders by month; the archive is made up, always in the same way."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from kiosk.contract import Orders
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import Months, SourceSpec

MONTHS: Final = Months(timezone="America/New_York")
ROWS: Final = 400
SLOW: Final = {"east": 3.0, "north": 9.0, "west": 15.0}


def archive(month: str | None) -> pl.DataFrame:
    """The raw text rows of one month."""
    dice = random.Random(month)  # noqa: S311  made-up orders, equal on every machine
    begin, end = start_of(str(month), MONTHS) + timedelta(hours=12), end_of(str(month), MONTHS) - timedelta(hours=12)
    return pl.DataFrame([_order(dice, f"{month}-{number:04d}", begin + (end - begin) * number / ROWS) for number in range(ROWS)])


def _order(dice: random.Random, name: str, placed: datetime) -> dict[str, str]:
    stall, items = dice.choice(sorted(SLOW)), dice.randint(1, 9)
    mood = 6 * ((placed - datetime(2020, 1, 1, tzinfo=UTC)).days % 3)
    wait = f"{SLOW[stall] + items + mood + dice.uniform(0, 8):.2f}" if dice.random() > 0.02 else ""
    return {"order": name, "stall": stall, "items": str(items), "placed": f"{placed:%Y-%m-%dT%H:%M:%SZ}", "wait": wait}


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw text to the contract's columns."""
    placed = pl.col("placed").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC", strict=False)
    wait = pl.col("wait").cast(pl.Float64, strict=False)
    due = placed + pl.duration(hours=2)
    return raw.select(
        order_id="order",
        month=due.dt.convert_time_zone(MONTHS.timezone).dt.strftime("%Y-%m"),
        stall="stall",
        items=pl.col("items").cast(pl.Int64, strict=False),
        placed_at=placed,
        due_at=due,
        handed_at=due + pl.duration(minutes=wait),
        wait=wait,
        lost=wait.is_null(),
    )


ORDERS: Final = SourceSpec(
    table="kiosk/orders",
    contract=Orders,
    owner="team:kiosk",
    parse=parse,
    archive=archive,
    partitions=MONTHS,
    lands="as_declared",
    reject_at_most=0.05,
)
