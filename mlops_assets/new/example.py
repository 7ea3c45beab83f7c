"""The orders of a made-up shop: what a project is written from when no file is given. The same bytes on every machine."""

import csv
import io
import math
import random
from datetime import datetime, timedelta
from typing import Final

HEADER: Final = ("order_id", "ordered_at", "customer", "shop", "items", "amount", "note", "returned")
FIRST: Final = datetime(2024, 1, 1, 8)  # noqa: DTZ001  as in a file: a clock time without an offset
DAYS: Final = 91
A_DAY: Final = 45


def orders() -> str:
    """Three months of orders as CSV; every seventh customer sends much back, and more so in the shop called north."""
    dice, out = random.Random(7), io.StringIO()  # noqa: S311  an example, not a secret
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(HEADER)
    for number in range(DAYS * A_DAY):
        at = FIRST + timedelta(days=number // A_DAY, minutes=number % A_DAY * 15 + dice.randrange(15))
        customer, shop, items = dice.randrange(140), dice.choice(("north", "south", "web")), dice.randrange(1, 9)
        amount = f"{items * dice.uniform(4, 30):.2f}" if dice.random() > 0.02 else ""  # noqa: PLR2004  some are not written down
        leaning = -2.2 + 2.5 * (customer % 7 == 0) + 0.8 * (shop == "north") + 0.15 * items
        back = int(dice.random() < 1 / (1 + math.exp(-leaning)))
        rows.writerow((f"o{number:05d}", at, f"c{customer:03d}", shop, items, amount, dice.choice(("", "", "gift, wrapped")), back))
    return out.getvalue()
