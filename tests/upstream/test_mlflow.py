"""What MLflow 3.17 does that its documentation does not promise and that we lean on.

Red after an upgrade: read ``resources/tracking/store.py`` or ``resources/tracking/retention.py``.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from resources.tracking.resource import Tracking

ROOT = Path(__file__).parents[2]
ASK = """
import sys
{}
from mlflow.tracking.request_header.registry import resolve_request_headers
print("User-Agent" in resolve_request_headers(), "feast" in sys.modules)
"""


def in_a_clean_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def test_the_first_request_of_mlflow_imports_feast_unless_its_headers_were_asked_for_before() -> None:
    assert in_a_clean_process(ASK.format("")) == "True True"
    assert in_a_clean_process(ASK.format("from resources.tracking.store import client_of; client_of('http://127.0.0.1:9')")) == "True False"


def test_gc_of_some_runs_takes_every_deleted_experiment_with_them_and_a_hard_deletion_only_the_run(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client: Any = Tracking(uri=store, artifacts=str(tmp_path)).client()

    def deleted(experiment: str) -> str:
        run = client.create_run(client.create_experiment(experiment, str(tmp_path / experiment))).info.run_id
        client.delete_run(run)
        return run

    first, second, other = deleted("first"), deleted("second"), deleted("other")
    client.delete_experiment(client.get_experiment_by_name("other").experiment_id)
    client._tracking_client.store._hard_delete_run(first)
    assert client.get_run(other).info.lifecycle_stage == "deleted"
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", store, "--tracking-uri", store, "--run-ids", second]
    subprocess.run(command, capture_output=True, check=True)
    for gone in (first, second, other):
        with pytest.raises(MlflowException, match="not found"):
            client.get_run(gone)
