"""``python -m mlops_assets.ui``: Dagster's UI with its daemon, MLflow's and Feast's on the same home, until Ctrl-C ends all three."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from resources.settings import Settings, child_environment

HOST: Final = "127.0.0.1"
PORTS: Final = {"dagster": "3000", "mlflow": "5000", "feast": "8888"}


def commands(home: Path) -> dict[str, list[str]]:
    """The command of each UI."""
    store = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    return {
        "dagster": ["dagster", "dev", "-w", "workspace.yaml", "-h", HOST, "-p", PORTS["dagster"]],
        "mlflow": ["mlflow", "server", "--backend-store-uri", store, "--host", HOST, "--port", PORTS["mlflow"], "--workers", "1"],
        "feast": ["feast", "-c", str(home / "features"), "ui", "--host", HOST, "--port", PORTS["feast"]],
    }


def main() -> int:
    """Run the UIs; 1 with one clear sentence when there is nothing to show."""
    home = Settings.from_environment().home
    if not (home / "dagster").is_dir():
        print(f"{home} holds no result to look at. Type `make demo` first.", file=sys.stderr)
        return 1
    environment = child_environment(
        DAGSTER_HOME=str(home / "dagster"), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_ENABLE_AI_GATEWAY="false"
    )
    scripts = Path(sys.executable).parent
    started = [subprocess.Popen([str(scripts / name), *rest], env=environment) for name, *rest in commands(home).values()]  # noqa: S603  our own commands
    print("\n".join(f"{name:<8} http://{HOST}:{port}" for name, port in PORTS.items()), flush=True)
    try:
        started[0].wait()
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
