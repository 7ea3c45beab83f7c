"""Definitions of a catalogue with two hundred models of the shape of ``flight_delay``, which share its views: a heavy load to measure."""

from mlops_assets.build import build
from tests.benchmarks.load import many

defs = build(many())
