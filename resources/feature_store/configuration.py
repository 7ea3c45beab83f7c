"""``feature_store.yaml`` and what may stand in it: the one configuration that the platform, ``feast`` and ``feast ui`` share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import yaml

from resources.feature_store.refusals import RefusedOfflineStore, RefusedOnlineStore, RefusedRegistry, UnreadableConfiguration
from resources.whole import write_whole

OFFLINE: Final = "resources.feature_store.offline.PolarsOfflineStore"
ONLINE: Final = "resources.feature_store.online.PackedSqliteOnlineStore"
ONLINE_REDIS: Final = "resources.feature_store.online.PackedRedisOnlineStore"
YAML: Final = "feature_store.yaml"
GUARD: Final = "declared_in_the_catalogue.py"
"""``feast apply`` and ``feast plan`` run every Python file of the folder first; without one they would remove what is registered."""
REGISTRY: Final = "registry.db"
BUSY_SECONDS: Final = 30
CACHE_SECONDS: Final = 1
"""The shortest that Feast knows: 0 means for ever."""

UNTRIED: Final = "it has not passed the tests of the port"
REFUSED: Final[Mapping[str, str]] = {
    "dask": "it loses examples whose features are expired or unknown and merges examples that share a key and an instant",
    "file": "it is the dask store under another name, which loses and merges examples",
    "postgres": "it multiplies examples where feature rows tie",
    "ray": "it ignores ttl",
}
"""Measured; the long form is in research/feast.md."""


REFUSED_REGISTRIES: Final[Mapping[str, str]] = {
    "file": "it has no lock, and two applies at once leave a file that nobody can read",
    "remote": "its writers cannot be kept apart from here",
}
DRIVERS: Final[Mapping[str, str]] = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}
"""How SQLAlchemy is to open each kind of registry."""

REFUSAL: Final = (
    "Nothing was changed: features are declared in the project's catalogue, not in this folder. "
    "Materialize feature/{project}/registry to register them."
)


def checked_registry(url: str, *, where: str) -> str:
    """The URL with the driver that the platform has tried; empty stays empty and means the embedded registry.

    Raises:
        RefusedRegistry: it is a file, or a database that has not passed the tests of the port.
    """
    kind, separator, rest = url.partition("://")
    if not url:
        return url
    if not separator or kind not in DRIVERS:
        known = "file" if not separator else kind
        raise RefusedRegistry(registry=url, why=_why(REFUSED_REGISTRIES, known), where=where)
    return f"{DRIVERS[kind]}://{rest}"


def checked_offline(store: str, *, where: str, silent: bool = False) -> str:
    """The offline store, if its training rows can be trusted.

    Raises:
        RefusedOfflineStore: it is known to be wrong, or not known to be right.
    """
    if store != OFFLINE:
        raise RefusedOfflineStore(store=store, why=_why(REFUSED, store, silent=silent), where=where)
    return store


def checked_online(url: str, *, where: str) -> str:
    """The URL of the online store; empty stays empty and means the embedded one.

    Raises:
        RefusedOnlineStore: it is not Redis.
    """
    if url and url.partition("://")[0] not in {"redis", "rediss"}:
        raise RefusedOnlineStore(url=url, why=UNTRIED, where=where)
    return url


def settings(home: Path, project: str, *, offline: str = OFFLINE, registry_url: str = "", online_url: str = "") -> dict[str, Any]:
    """What ``feature_store.yaml`` says. The registry path is absolute: SQLAlchemy would look in the working directory."""
    url = checked_registry(registry_url, where="the feature store's settings") or f"sqlite:///{home / REGISTRY}"
    wait = {"connect_args": {"timeout": BUSY_SECONDS}} if url.startswith("sqlite:") else {}
    return {
        "project": project,
        "provider": "local",
        "registry": {
            "registry_type": "sql",
            "path": url,
            "cache_ttl_seconds": CACHE_SECONDS,
            "sqlalchemy_config_kwargs": {"echo": False, **wait},
        },
        "offline_store": {"type": checked_offline(offline, where="the feature store's settings")},
        "online_store": {"type": ONLINE_REDIS, "url": online_url} if online_url else {"type": ONLINE},
        "materialization": {"pull_latest_features": True, "online_write_batch_size": 10_000},
        "entity_key_serialization_version": 3,
    }


def stands(home: Path, said: Mapping[str, Any]) -> bool:
    """Whether the folder says this already; a file without an offline store means dask to Feast, one without a registry type a file.

    Raises:
        RefusedOfflineStore, RefusedRegistry: somebody wrote another store or registry into the file.
        UnreadableConfiguration: it is no configuration, or that of another project.
    """
    path = home / YAML
    if not path.exists():
        return False
    if path.read_text() == _text(said):
        return (home / GUARD).exists()
    other = _read(path)
    checked_offline(_kind(other, "offline_store", "type", "dask"), where=str(path), silent="offline_store" not in other)
    if (registry := _kind(other, "registry", "registry_type", "file")) != "sql":
        raise RefusedRegistry(registry=registry, why=_why(REFUSED_REGISTRIES, registry, silent="registry" not in other), where=str(path))
    if other.get("project") != said["project"]:
        raise UnreadableConfiguration(path=str(path), why=f"belongs to project {other.get('project')!r}, not to {said['project']!r}")
    return False


def write(home: Path, said: Mapping[str, Any]) -> None:
    """Put the settings into ``feature_store.yaml``, in one step, after what keeps ``feast apply`` from emptying the registry."""
    refusal = f'"""Read by `feast apply` and `feast plan`."""\n\nraise SystemExit({REFUSAL.format(project=said["project"])!r})\n'
    for name, text in {GUARD: refusal, YAML: _text(said)}.items():
        write_whole(home / name, text)


def _read(path: Path) -> dict[str, Any]:
    try:
        other: Any = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UnreadableConfiguration(path=str(path), why=f"cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(other, dict):
        raise UnreadableConfiguration(path=str(path), why="holds no settings")
    return cast("dict[str, Any]", other)


def _kind(said: Mapping[str, Any], part: str, name: str, default: str) -> str:
    """The kind of store or registry that a file names; Feast takes a plain word for either."""
    found: Any = said.get(part) or default
    if isinstance(found, dict):
        return str(cast("dict[str, Any]", found).get(name) or default)
    return default if part == "registry" else str(found)


def _why(refused: Mapping[str, str], kind: str, *, silent: bool = False) -> str:
    """``silent``: nobody chose it, the file may have been cut short."""
    return refused.get(kind, UNTRIED) + (", and Feast takes it where the file names none" if silent else "")


def _text(said: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(said), sort_keys=False)
