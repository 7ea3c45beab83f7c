"""How long will an order wait?"""

from typing import Final

from kiosk.contract import Orders
from kiosk.features import LATELY
from kiosk.models.wait.score import predict
from kiosk.models.wait.train import fit
from kiosk.source import ORDERS
from mlops_assets.specs import Expanding, Gate, ModelSpec, Serving, before, months, value

SPEC: Final = ModelSpec(
    name="wait", owner="team:kiosk", seed=7, examples=ORDERS, predict_at=before(Orders.due_at, hours=1), label=value(Orders.wait),
    features=(LATELY, Orders.stall, Orders.items), train=fit, score=predict, train_on=Expanding(since="2020-01", at_least=months(1)),
    gate=Gate(ceilings={"mae": 60.0}, against_live=False), serving=Serving(request=(Orders.order_id,)),
)  # fmt: skip
