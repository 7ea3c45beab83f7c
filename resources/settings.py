"""What the environment says, read once. The only module that looks at the process environment; it opens nothing and builds no client.

Order of precedence: spec default < profile < ``MLOPS_*`` variable < run config. No secret is read here: passwords reach a client by the
client's own variables (``PGPASSWORD``, ``MLFLOW_TRACKING_PASSWORD``, ``AWS_SECRET_ACCESS_KEY``) when a run starts.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from resources.errors import PlatformError

Environment = Literal["embedded", "production"]
Service = Literal["detached", "held"]
"""Whether the embedded service runs until it is stopped, or ends with the processes that asked for it."""

PREFIX: Final = "MLOPS_"
HOME: Final = ".mlops"

QUIET: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "true",  # evidently, mlflow
    "ITERATIVE_DO_NOT_TRACK": "true",  # what evidently reports with
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
}
"""Every name that stops a library we use from reporting home; a variable that is already set is left as it is."""


class UnknownSetting(PlatformError):
    """A variable with our prefix that means nothing."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _suggest(name, known, prefix=PREFIX)
        super().__init__(f"{name} is not a setting, so it would change nothing. {hint} Rename or unset it.")


class BadSetting(PlatformError):
    """A setting whose value cannot be meant."""

    def __init__(self, name: str, why: str, do: str) -> None:
        super().__init__(f"{name} {why}, so nothing was started. {do}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where this process runs. Each field is the variable ``MLOPS_`` + its name in capitals; None leaves it to the profile."""

    environment: Environment = "embedded"
    home: Path
    lake_uri: str | None = None
    ledger_url: str | None = None
    releases_uri: str | None = None
    features_url: str | None = None
    online_url: str | None = None
    tracking_uri: str | None = None
    artifacts_uri: str | None = None
    keys: Path | None = None
    """Folder of the key rings."""
    service: Service = "detached"
    ui_ports: tuple[int, int, int, int] = (3000, 5000, 8888, 8800)
    """Of Dagster, MLflow, Feast and the reports."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """The settings of this process; a relative home starts at the working directory, an empty variable is an unset one.

        Raises:
            UnknownSetting: a variable with the prefix ``MLOPS_`` is none of ours.
            BadSetting: a value cannot be meant: an unknown environment or service, no URL, a password inside one.
        """
        said = {name: value for name, value in (os.environ if environ is None else environ).items() if name.startswith(PREFIX)}
        known = {PREFIX + field.name.upper(): field.name for field in fields(cls)}
        for name in sorted(set(said) - set(known)):
            raise UnknownSetting(name, known)
        given = {known[name]: value for name, value in said.items() if value}
        return cls(
            environment=_one_of(Environment, "environment", given.pop("environment", "embedded")),
            home=Path(given.pop("home", HOME)).expanduser().absolute(),
            service=_one_of(Service, "service", given.pop("service", "detached")),
            keys=Path(given.pop("keys")).expanduser().absolute() if "keys" in given else None,
            ui_ports=_ports(given.pop("ui_ports")) if "ui_ports" in given else cls.ui_ports,
            **{field: _url(PREFIX + field.upper(), value) for field, value in given.items()},
        )


def be_quiet(**more: str) -> None:
    """Stop the libraries of this process, and of those that it starts, from reporting home; ``more`` is set where nothing is set yet."""
    for name, value in {**QUIET, **more}.items():
        os.environ.setdefault(name, value)


def hold_service() -> None:
    """Let the embedded service end with this process: what is started from here leaves nothing behind, even after a kill."""
    os.environ["MLOPS_SERVICE"] = "held"


def child_environment(**extra: str) -> dict[str, str]:
    """The environment for a process that we start: this one's, quiet, with ``extra`` on top."""
    return {**QUIET, **os.environ, **extra}


def handed_over(name: str) -> str | None:
    """What the process that started this one put into its environment for it; None when it was started by hand."""
    return os.environ.get(name)


def _one_of(choices: object, field: str, value: str) -> Any:
    known: tuple[str, ...] = get_args(choices)
    if value not in known:
        raise BadSetting(PREFIX + field.upper(), f"is {value!r}, which is no {field}", _suggest(value, known))
    return value


def _ports(value: str) -> Any:
    ports = [int(part) if part.strip().isdecimal() else 0 for part in value.split(",")]
    if len(ports) != len(Settings.ui_ports) or len(set(ports)) != len(ports) or not all(0 < port < 2**16 for port in ports):
        do = f"Name those of Dagster, MLflow, Feast, reports: {','.join(map(str, Settings.ui_ports))}."
        raise BadSetting(PREFIX + "UI_PORTS", f"is {value!r}, which is not four ports", do)
    return tuple(ports)


def _url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not (parts.netloc or parts.path):
        raise BadSetting(name, f"is {value!r}, which is no URL", "Give it as scheme://host/path.")
    if parts.password is not None:
        why = "holds a password, and settings are shown in logs and in the UI"
        raise BadSetting(name, why, "Take it out of the URL and give it to the client by its own variable, for example PGPASSWORD.")
    if parts.scheme == "sqlite" and not value.startswith("sqlite:////"):
        why = f"is {value!r}, a file in whichever folder a process happens to start"
        raise BadSetting(name, why, "Give it as an absolute path, sqlite:////folder/file.db.")
    return value


def _suggest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    names = sorted(name.removeprefix(prefix) for name in known)
    close = difflib.get_close_matches(word.removeprefix(prefix), names, n=1)
    return f"Did you mean {prefix}{close[0]}?" if close else f"Known are {', '.join(prefix + name for name in names)}."
