"""The inner half of a rebuild: fits one version again from its record, in a process of its own, with the code of its commit.

Runs by path (``python -P refit.py request.json``), so that code from before this file was written can be rebuilt as well; a commit that has
the file runs its own. What goes in and out is JSON. Trusts nothing of the lake but rows that have the recorded digests.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.features import declaration, service
from mlops_assets.lifecycle.training import Made, fitted, training_rows
from mlops_assets.lifecycle.view_versions import defined
from mlops_assets.partitions import calendar_of
from mlops_assets.specs import Catalogue, ModelSpec
from resources.errors import PlatformError
from resources.feature_store.store import FeatureStore
from resources.lake import MONTH, DeltaLake
from resources.lake_errors import NoSuchVersion
from resources.lake_log import WHOLE
from resources.registry.releases import Releases
from resources.rows import digest
from resources.tracking.resource import Run


class DataGone(PlatformError):
    """Rows that the lake no longer has as they were."""

    def __init__(self, *, where: str, number: int, month: str, was: str, now: str) -> None:
        super().__init__(
            f"{where} {month or '(whole table)'}: version {number} and the latest hold other rows (digest {now[:12]}) than the model was "
            f"trained on ({was[:12]}). Restore the table from a backup; a correction of rows makes a new version and keeps the old one."
        )


class Unheard:
    """The run of a rebuild: nobody's log."""

    id = "rebuild"

    def __getattr__(self, _: str) -> Callable[..., None]:
        def unheard(*_: object, **__: object) -> None: ...

        return unheard


def catalogue_of(module: str) -> Catalogue:
    """The catalogue that a module holds."""
    return next(one for one in vars(importlib.import_module(module)).values() if isinstance(one, Catalogue))


def pinned(lake: DeltaLake, where: str, number: int, wanted: Mapping[str, str]) -> int:
    """A version of the table whose rows have the ``wanted`` digests by month: the recorded one, else the latest."""
    found: dict[str, str] = {}
    for candidate in dict.fromkeys((number, lake.version(where))):
        with suppress(NoSuchVersion):  # vacuumed: the latest may still hold the same rows
            found = _digests(lake.read(where, version=candidate), wanted)
            if found == dict(wanted):
                return candidate
    month = next(month for month, was in wanted.items() if found.get(month) != was)
    raise DataGone(where=where, number=number, month=month, was=wanted[month], now=found.get(month, "nothing"))


def _digests(rows: pl.LazyFrame, months: Mapping[str, str]) -> dict[str, str]:
    """Computed from the rows themselves, a month at a time."""
    if set(months) == {WHOLE}:
        return {WHOLE: digest(rows.collect())}
    return {month: digest(rows.filter(pl.col(MONTH) == month).collect()) for month in months}


def refitted(asked: Mapping[str, Any], folder: Path) -> dict[str, object]:
    """Fit the version again; its release goes to ``folder``."""
    catalogue, record = catalogue_of(asked["catalogue"]), asked["record"]
    spec: ModelSpec = next(model for model in catalogue.models if model.name == asked["model"])
    lake, cutoff = DeltaLake(root=asked["lake"]), record["identity"]["cutoff"]
    numbers = {
        name: pinned(lake, name, record["provenance"]["tables"][name], digests) for name, digests in record["identity"]["tables"].items()
    }
    made = Made(
        tables={name: {"version": number, "digests": record["identity"]["tables"][name]} for name, number in numbers.items()},
        views=defined(spec.views, package=catalogue.package),
    )
    store = FeatureStore(home=str(folder / "features"), lake=lake, project=catalogue.project)
    store.apply([declaration(view, package=catalogue.package) for view in spec.views], [service(spec)])
    examples, where = address(table(spec.examples.table)), address(key("training_set", spec.name, "examples"))
    source = lake.read(examples, version=numbers[examples], partitions=list(record["identity"]["tables"][examples])).collect()
    rows, _ = training_rows(spec, source, cutoff=cutoff, calendar=calendar_of(catalogue), store=store, versions=numbers)
    kept = DeltaLake(root=str(folder / "lake"))
    written = kept.replace(where, rows, partition=cutoff)
    began = time.monotonic()
    fit = fitted(
        spec, kept.read(where, partitions=[cutoff]).collect(), cutoff=cutoff, made=made, package=catalogue.package,
        releases=Releases(folder / "releases"), run=cast("Run", Unheard()), dagster_run="rebuild",
    )  # fmt: skip
    return {"content_hash": fit["content_hash"][0], "training_set": written.digest, "seconds": time.monotonic() - began}


def main(request: Path) -> int:
    """Answer in ``answer.json`` beside the request; a refusal is an answer too."""
    try:
        answer = refitted(json.loads(request.read_text()), request.parent)
    except PlatformError as problem:
        answer = {"refused": str(problem), "data": isinstance(problem, DataGone)}
    request.with_name("answer.json").write_text(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
