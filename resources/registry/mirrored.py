"""What MLflow shows of the ledger, looked at without importing mlflow, so that a sensor can ask every tick whether anything must be done.

A SQLite store is read as it lies, a server by its REST interface; one test holds both against what mlflow itself writes.
"""

import base64
import json
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from resources.registry.mirror import FOLLOWED, standing
from resources.settings import handed_over

ANSWER_SECONDS: Final = 5.0
PAGE: Final = 1000
SEARCH: Final = "/api/2.0/mlflow/registered-models/search"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One registered model as MLflow shows it."""

    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def followed(self) -> str:
        """The state of the ledger that the mirror last got to the end of; empty when somebody has moved an alias since."""
        state, _, stood = self.tags.get(FOLLOWED, "").partition(" ")
        return state if stood == standing(self.aliases) else ""


def shown(uri: str) -> dict[str, Shown] | None:
    """Every registered model by name; None when the store does not answer, or is not there yet."""
    try:
        return _of_file(Path(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:") else _of_server(uri)
    except (OSError, ValueError, KeyError, sqlite3.Error):
        return None


def _of_file(path: Path) -> dict[str, Shown]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS)) as connection:
        aliases = connection.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
        tags = connection.execute("SELECT name, key, value FROM registered_model_tags").fetchall()
    at, said = _by_name(aliases), _by_name(tags)
    return {name: Shown(aliases=at.get(name, {}), tags=said.get(name, {})) for name in at | said}


def _by_name(rows: Iterable[tuple[Any, Any, Any]]) -> dict[str, dict[str, str]]:
    found = dict[str, dict[str, str]]()
    for name, key, value in rows:
        found.setdefault(str(name), {})[str(key)] = str(value)
    return found


def _of_server(uri: str) -> dict[str, Shown]:
    found, page = dict[str, Shown](), ""
    while True:
        query = urllib.parse.urlencode({"max_results": PAGE, **({"page_token": page} if page else {})})
        request = urllib.request.Request(f"{uri.rstrip('/')}{SEARCH}?{query}", headers=_who())  # noqa: S310  the setting's own scheme, http or https
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  as above
            said = json.loads(answer.read())
        for one in said.get("registered_models", []):
            aliases = {str(each["alias"]): str(each["version"]) for each in one.get("aliases", [])}
            found[str(one["name"])] = Shown(aliases=aliases, tags={str(each["key"]): str(each["value"]) for each in one.get("tags", [])})
        page = str(said.get("next_page_token", ""))
        if not page:
            return found


def _who() -> dict[str, str]:
    """Credentials where mlflow's own client finds them."""
    if token := handed_over("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    name, password = handed_over("MLFLOW_TRACKING_USERNAME"), handed_over("MLFLOW_TRACKING_PASSWORD")
    if name is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password or ''}".encode()).decode()}
