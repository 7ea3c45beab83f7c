"""Definitions of a catalogue with two hundred models of the shape of ``flight_delay``, which share its views: a heavy load to measure."""

from dataclasses import replace
from typing import Final

from mlops_assets.build import build
from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.specs import Catalogue

MODELS: Final = 200


def many(models: int = MODELS) -> Catalogue:
    """The flights' catalogue with so many models, each of its own name."""
    spec = CATALOGUE.models[0]
    return replace(CATALOGUE, models=tuple(replace(spec, name=f"{spec.name}_{number:03}") for number in range(models)))


defs = build(many())
