"""How a stall has fared lately."""

from typing import Final

from kiosk.contract import Orders
from kiosk.source import ORDERS
from mlops_assets.specs import EntitySpec, FeatureViewSpec, days, hours
from mlops_assets.windows import count, mean

STALL: Final = EntitySpec(name="stall", key="stall")
LATELY: Final = FeatureViewSpec(
    name="lately",
    entity=STALL,
    source=ORDERS,
    owner="team:kiosk",
    features={
        "wait_6h": mean(Orders.wait, over=hours(6)),
        "wait_7d": mean(Orders.wait, over=days(7)),
        "handed_1d": count(Orders.wait, over=days(1)),
    },
)
