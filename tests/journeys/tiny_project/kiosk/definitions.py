"""The kiosk's definitions."""

from kiosk.catalogue import CATALOGUE
from mlops_assets.build import build

defs = build(CATALOGUE)
