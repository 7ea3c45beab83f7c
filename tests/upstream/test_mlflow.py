"""What MLflow 3.17 does that its documentation does not promise and that we lean on.

Red after an upgrade: read ``resources/tracking_store.py``.
"""

import subprocess
import sys
from pathlib import Path

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
    assert in_a_clean_process(ASK.format("from resources.tracking_store import client_of; client_of('http://127.0.0.1:9')")) == "True False"
