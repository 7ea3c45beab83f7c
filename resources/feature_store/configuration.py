"""``feature_store.yaml`` and what may stand in it: the one configuration that the platform, ``feast`` and ``feast ui`` share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from resources.feature_store.refusals import RefusedOfflineStore

OFFLINE: Final = "resources.feature_store.offline.PolarsOfflineStore"
ONLINE: Final = "resources.feature_store.online.PackedSqliteOnlineStore"
YAML: Final = "feature_store.yaml"
REGISTRY: Final = "registry.db"
ROWS: Final = "online.db"
BUSY_SECONDS: Final = 30
CACHE_SECONDS: Final = 1
"""The shortest that Feast knows: 0 means for ever."""

REFUSED: Final[Mapping[str, str]] = {
    "dask": "it loses examples whose features are expired or unknown and merges examples that share a key and an instant",
    "file": "it is the dask store under another name, which loses and merges examples",
    "postgres": "it multiplies examples where feature rows tie",
    "ray": "it ignores ttl",
}
"""Measured; the long form is in research/feast.md."""


def checked_offline(store: str, *, where: str) -> str:
    """The offline store, if its training rows can be trusted.

    Raises:
        RefusedOfflineStore: it is known to be wrong, or not known to be right.
    """
    if store != OFFLINE:
        raise RefusedOfflineStore(store=store, why=REFUSED.get(store, "it has not passed the tests of the port"), where=where)
    return store


def settings(home: Path, project: str, *, offline: str = OFFLINE, registry_url: str = "") -> dict[str, Any]:
    """What ``feature_store.yaml`` says. The registry path is absolute: SQLAlchemy would look in the working directory."""
    url = registry_url or f"sqlite:///{home / REGISTRY}"
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
        "online_store": {"type": ONLINE, "path": ROWS},
        "materialization": {"pull_latest_features": True, "online_write_batch_size": 10_000},
        "entity_key_serialization_version": 3,
    }


def stands(home: Path, said: Mapping[str, Any]) -> bool:
    """Whether ``feature_store.yaml`` says this already; one without an offline store means dask to Feast.

    Raises:
        RefusedOfflineStore: somebody wrote another offline store into the file.
    """
    path = home / YAML
    if not path.exists() or path.read_text() == _text(said):
        return path.exists()
    other: Any = yaml.safe_load(path.read_text()) or {}
    store: Any = other.get("offline_store") or "dask"
    checked_offline(store if isinstance(store, str) else store.get("type", "dask"), where=str(path))
    return False


def write(home: Path, said: Mapping[str, Any]) -> None:
    """Put the settings into ``feature_store.yaml``, in one step."""
    partial = home / f"{YAML}.partial"
    partial.write_text(_text(said))
    partial.replace(home / YAML)


def _text(said: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(said), sort_keys=False)
