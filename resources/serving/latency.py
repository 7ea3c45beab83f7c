"""How long a version takes to answer one example, through the code that a worker runs: strict reading, scoring, ids."""

import time
from typing import Final

import numpy as np
import orjson

from resources.registry.releases import Release
from resources.serving.examples import reader
from resources.serving.worker import Loaded

ANSWERS: Final = 200
WARM: Final = 10
"""Answers before the clock counts."""


def latency_ms(release: Release) -> float | None:
    """What 99 of 100 answers to the release's recorded examples, one at a time, stay within; None without such examples."""
    fields = {**release.signature.get("request", {}), **release.signature["features"]}
    version = Loaded(release=release, version=0, fields=fields, read=reader(fields))
    bodies = [orjson.dumps({"examples": [example]}) for example in release.signature["probe"]["examples"]]
    if not bodies:
        return None
    took: list[float] = []
    for number in range(WARM + ANSWERS):
        began = time.perf_counter()
        version.answer(version.read(bodies[number % len(bodies)]))
        took.append(time.perf_counter() - began)
    return float(np.quantile(took[WARM:], 0.99)) * 1000
