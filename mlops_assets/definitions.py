"""The first project's definitions: what ``workspace.yaml`` names."""

from mlops_assets.build import build
from mlops_assets.flights.catalogue import CATALOGUE

defs = build(CATALOGUE)
