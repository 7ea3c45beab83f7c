"""``python -m mlops_assets.ui``: the UIs of Dagster, MLflow and Feast and the reports, all of one home, until Ctrl-C ends them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from resources.errors import PlatformError
from resources.settings import Settings, child_environment

HOST: Final = "127.0.0.1"
SHOWN: Final = ("dagster/dagster.yaml", "mlflow/mlflow.db", "features/feature_store.yaml", "reports/index.html")
"""What a replay leaves in its home for each of the UIs."""

FIRST_PAGE: Final = {"mlflow": "/#/experiments"}
"""Where a UI is to open: MLflow's home speaks of prompts and traces."""
GRACE: Final = 20
Running = Mapping[str, subprocess.Popen[bytes]]


class NotShown(PlatformError):
    """Why no UI is open: a home without a result, a port that is taken, a UI that ended."""


def commands(home: Path, ports: Mapping[str, int]) -> dict[str, list[str]]:
    """The command of each UI. Dagster finds the project by the ``workspace.yaml`` or ``pyproject.toml`` of the working directory."""
    store, scripts = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", Path(sys.executable).parent
    at = {name: ["--host", HOST, "--port", str(port)] for name, port in ports.items()}
    return {
        "dagster": [str(scripts / "dagster"), "dev", *at["dagster"]],
        "mlflow": [str(scripts / "mlflow"), "server", "--backend-store-uri", store, "--workers", "1", *at["mlflow"]],
        "feast": [str(scripts / "feast"), "-c", str(home / "features"), "ui", *at["feast"]],
        "reports": [sys.executable, "-m", "http.server", str(ports["reports"]), "--bind", HOST, "--directory", str(home / "reports")],
    }


def main() -> int:
    """Run the UIs; 1 with one clear sentence when there is nothing to show, a port is taken or one of them ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = Settings.from_environment()
    try:
        _serve(settings.home, dict(zip(("dagster", "mlflow", "feast", "reports"), settings.ui_ports, strict=True)))
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(home: Path, ports: Mapping[str, int]) -> None:
    _refuse_blocked(home, ports)
    environment = child_environment(
        DAGSTER_HOME=str(home / "dagster"), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_ENABLE_AI_GATEWAY="false"
    )
    logs = home / "ui"
    logs.mkdir(exist_ok=True)
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands(home, ports).items():
            with (logs / f"{name}.log").open("wb") as log:
                started[name] = subprocess.Popen(  # noqa: S603  our own commands
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        print(f"opening the result in {home}; logs in {logs}", flush=True)
        for name, port in ports.items():
            while not _listens(port):
                _watch(started, logs)
            print(f"{name:<8} http://{HOST}:{port}{FIRST_PAGE.get(name, '')}", flush=True)
        print("Ctrl-C stops them", flush=True)
        while True:
            _watch(started, logs)
    finally:
        _stop(started)


def _refuse_blocked(home: Path, ports: Mapping[str, int]) -> None:
    if missing := [name for name in SHOWN if not (home / name).exists()]:
        what = f"{home} holds no whole result to look at: {', '.join(missing)} is missing"
        raise NotShown(f"{what}. Type `make demo` first, or set MLOPS_HOME.")
    for name, port in ports.items():
        if _listens(port):
            others = ",".join(str(one + 1) for one in ports.values())
            what = f"Port {port}, where {name} would answer, is taken, so nothing was started"
            raise NotShown(f"{what}. End what listens there, or choose other ports: MLOPS_UI_PORTS={others} make ui")


def _watch(started: Running, logs: Path) -> None:
    """A moment in which none of them ends."""
    time.sleep(0.5)
    for name, process in started.items():
        if process.poll() is not None:
            what = f"{name} ended with exit status {process.returncode}, so the others were stopped too"
            raise NotShown(f"{what}. {logs / name}.log says why.")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _stop(started: Running) -> None:
    """End each UI with all its children: asked first, then by force. Each leads a process group of its own, which Ctrl-C does not reach."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for process in started.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, how)
        for process in started.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)


if __name__ == "__main__":
    sys.exit(main())
