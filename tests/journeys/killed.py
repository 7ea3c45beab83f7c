"""Runs the replay and kills this very process, as ``kill -9`` does, right after a named call. For tests only: ``killed.py POINT …``."""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

POINTS: Final = {
    "ingestion: quarantine is written, the table is not": ("resources.lake:DeltaLake.replace", "quarantine/"),
    "ingestion: the table is written, Dagster does not know": ("resources.lake:DeltaLake.merge", "table/"),
    "training: the release is stored, MLflow's run is open": ("resources.registry.releases:Releases.write", ""),
    "release: the candidate is in the ledger, MLflow does not know": ("resources.registry.resource:Registry.register", ""),
    "release: the version is live, MLflow and Dagster do not know": ("resources.registry.resource:Registry.promote", ""),
    "deployment: the service is starting": ("resources.serving.controller:Serving._spawn", ""),
    "deployment: the service answers, Dagster does not know": ("resources.serving.controller:Serving._flip", ""),
    "prediction: the month is written, Dagster does not know": ("resources.lake:DeltaLake.replace", "prediction/"),
}
"""Where: ``module:Class.method``, after the first call whose first argument begins with the text."""


def deadly(call: Callable[..., Any], begins: str) -> Callable[..., Any]:
    """``call``, and then the end."""

    def once(self: object, first: object, *arguments: object, **more: object) -> object:
        said = call(self, first, *arguments, **more)
        if str(first).startswith(begins):
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    return once


if __name__ == "__main__":
    where, begins = POINTS[sys.argv[1]]
    module, _, name = where.partition(":")
    owner = getattr(importlib.import_module(module), name.split(".")[0])
    setattr(owner, name.split(".")[1], deadly(getattr(owner, name.split(".")[1]), begins))
    from mlops_assets.replay.__main__ import main

    sys.exit(main(sys.argv[2:]))
