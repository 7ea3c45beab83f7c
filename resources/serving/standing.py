"""How the service of a home stands: it answers, was stopped, or is down; and the command that starts it. Loads no Dagster."""

import http.client
import json
import shlex
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

from resources.serving.endpoint import CURRENT, STOPPED, Endpoint

ANSWER_SECONDS: Final = 2.0
UNKNOWN: Final = "<module of your definitions>"
Seats = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """``seats``: who answers for each model, as the service says; None while it does not. ``what`` and ``wrong`` say how it stands.

    ``wrong`` is empty when it answers and when somebody stopped it; ``mend`` is the command that does something about it.
    """

    seats: Seats | None = None
    what: str
    wrong: str = ""
    mend: str = ""
    deploy: str
    """The command that deploys what is here, and starts a service where none runs."""


def standing(home: Path) -> Service:
    """Look at the records in the service's folder, and ask the service if it runs."""
    last, stopped = Endpoint.read(home / CURRENT), Endpoint.read(home / STOPPED)
    known = last or stopped
    deploy = deploying(home, project=known.project if known else "")
    if last is None and stopped is not None:
        since = datetime.fromtimestamp((home / STOPPED).stat().st_mtime, UTC)
        return Service(what=f"stopped since {since.isoformat(timespec='seconds', sep=' ')[:19]}", mend=deploy, deploy=deploy)
    if last is None:
        return Service(what="none has answered here yet", wrong="none was started here yet", mend=deploy, deploy=deploy)
    if not last.alive:
        return Service(what="down", wrong="it ended, and nobody stopped it", mend=deploy, deploy=deploy)
    if (seats := _asked(last)) is None:
        wrong = f"process {last.pid} runs and does not answer within {ANSWER_SECONDS:.0f} s"
        return Service(what="silent", wrong=wrong, mend=f"tail -n 50 {shlex.quote(str(last.log))}", deploy=deploy)
    return Service(seats=seats, what=f"answers at {last.url}", deploy=deploy)


def deploying(home: Path, *, project: str) -> str:
    """The command that materializes the deployment."""
    return typed(
        home, f"job execute -m {{module}} -j deploy_{project}" if project else "asset materialize -m {module} --select tag:stage=deployment"
    )


def typed(home: Path, command: str) -> str:
    """A command of Dagster to be typed in the project folder, ``{module}`` filled in; Dagster's home is the one beside the service's."""
    dagster = home.parent / "dagster"
    where = f"DAGSTER_HOME={shlex.quote(str(dagster))} " if (dagster / "dagster.yaml").exists() else ""
    return f"{where}python -m dagster {command.replace('{module}', definitions(Path.cwd()))}"


def definitions(folder: Path) -> str:
    """The module of a project's definitions, where Dagster finds it: ``workspace.yaml``, else ``pyproject.toml``."""
    try:
        said = yaml.safe_load((folder / "workspace.yaml").read_text())["load_from"][0]["python_module"]
        return said if isinstance(said, str) else said["module_name"]
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError):
        pass
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["dagster"]["module_name"]
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return UNKNOWN


def _asked(endpoint: Endpoint) -> Seats | None:
    try:
        with closing(http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", "/models")
            answer = connection.getresponse()
            said = answer.read()
        return json.loads(said)["models"] if answer.status == HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
