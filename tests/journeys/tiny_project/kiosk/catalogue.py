"""Everything that the kiosk has."""

from typing import Final

from kiosk.features import LATELY
from kiosk.models.late import spec as late
from kiosk.models.wait import spec as wait
from kiosk.source import ORDERS
from mlops_assets.specs import Catalogue

CATALOGUE: Final = Catalogue(
    project="kiosk", sources=(ORDERS,), views=(LATELY,), models=(late.SPEC, wait.SPEC), replay=("2020-01", "2020-04")
)
