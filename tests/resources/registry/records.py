"""The record of a release as tests write it: whole, because nothing less is registered."""

from collections.abc import Mapping
from typing import Any, Final

WHOLE: Final[dict[str, Any]] = {
    "identity": {
        "model": "late",
        "cutoff": "2020-01",
        "trained_until": "2020-01-25",
        "seed": 7,
        "params": {"trees": 40, "kind": "gbdt"},
        "tables": {"table/counter/orders": {"2020-01": "d1"}},
        "views": {"stall_lately": "v1"},
        "code": {"fit": "f", "score": "s"},
        "lock": "l",
    },
    "provenance": {
        "format": 1,
        "dagster_run": "run",
        "mlflow_run_id": "m",
        "git": {"commit": None, "dirty": None, "author": None, "committer": None},
        "training_set": {"address": "training_set/late/examples", "rows": 210, "since": "2020-01"},
        "tables": {"table/counter/orders": 3},
        "platform": "0.1.0",
        "used": {"seconds": 1.5, "cpu_seconds": 2.5, "peak_mb": 300.0},
        "owner": "team:counter",
        "level": "internal",
        "licence": "Apache-2.0",
        "card": "# late",
    },
}


def whole(identity: Mapping[str, object] | None = None, **provenance: object) -> dict[str, Any]:
    """The whole record, with some fields said otherwise."""
    return {"identity": {**WHOLE["identity"], **(identity or {})}, "provenance": {**WHOLE["provenance"], **provenance}}
