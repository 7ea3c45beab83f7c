"""Will an order wait 20 minutes or more?"""

from typing import Final

from kiosk.contract import Orders
from kiosk.features import LATELY
from kiosk.models.late.score import predict
from kiosk.models.late.train import fit
from kiosk.source import ORDERS
from mlops_assets.specs import Expanding, Gate, ModelSpec, Serving, at_least, before, months

SPEC: Final = ModelSpec(
    name="late", owner="team:kiosk", seed=7, examples=ORDERS, predict_at=before(Orders.due_at, hours=1),
    label=at_least(Orders.wait, 20), positive="waits 20 minutes or more", features=(LATELY, Orders.stall, Orders.items),
    train=fit, score=predict, train_on=Expanding(since="2020-01", at_least=months(1)),
    gate=Gate(floors={"auc": 0.5}, against_live=False), serving=Serving(request=(Orders.order_id,)),
)  # fmt: skip
