"""Which definition of a view its rows were built with: no model reads features of another definition than the one it was trained on.

A definition is known by its hash (``features.spec_hash``), which Dagster records as code version with every materialization of a view.
Months whose record is gone (runs were deleted) are taken as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, table
from mlops_assets.lifecycle.features import spec_hash, view_name
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from resources.errors import PlatformError
from resources.lake import Lake

CODE_VERSION: Final = "dagster/code_version"
RECORDS: Final = 2000
"""Newest materializations of a view that are looked through: months, each a few times."""


class RebuildDue(PlatformError):
    """Feature tables that were built with another definition than the code holds now."""

    def __init__(self, spec: ModelSpec, cutoff: str, outdated: Mapping[str, Sequence[str]]) -> None:
        listed = "\n".join(f"  {view}: {', '.join(filter(None, months)) or 'the whole table'}" for view, months in outdated.items())
        super().__init__(
            f"training_set/{spec.name}/examples {cutoff}: features were built with other definitions than the code has now: nothing was "
            f"written, because the model would mix both.\n{listed}\nMaterialize these, in the order of months, then this again."
        )


class OtherFeatures(PlatformError):
    """A live version that was trained on another definition of its features."""

    def __init__(self, spec: ModelSpec, month: str, version: int, views: Sequence[str]) -> None:
        super().__init__(
            f"{spec.name} {month}: version {version} was trained on another definition of {', '.join(views)} than the one in the lake, so "
            f"nothing was predicted: it would misread them. Build all months of these views and train {spec.name} again, or bring that "
            "definition back."
        )


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """What a changed definition makes due: the months of a view that another one built, their rows, and the models that read them."""

    view: str
    months: tuple[str, ...]
    rows: int
    models: tuple[str, ...]


def built_with(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> dict[str, str]:
    """The definition behind each month of a view or its online rows, newest materialization; of a whole table under ``""``."""
    records = instance.fetch_materializations(asset_key, limit=RECORDS).records
    found: dict[str, str] = {}
    for record in records:
        said = record.asset_materialization
        if said is not None and (version := (said.tags or {}).get(CODE_VERSION)) is not None:
            found.setdefault(record.partition_key or "", version)
    return found


def differing(
    instance: dg.DagsterInstance, views: Sequence[FeatureViewSpec], wanted: Mapping[str, str], *, until: str | None = None
) -> dict[str, list[str]]:
    """By address of the view, the months up to ``until`` that were not built with the ``wanted`` definition (by name in Feast)."""
    found = {
        address(table(view.address, stage="feature")): sorted(
            month
            for month, version in built_with(instance, table(view.address, stage="feature")).items()
            if (until is None or month <= until) and not wanted[view_name(view)].startswith(version)
        )
        for view in views
    }
    return {view: months for view, months in found.items() if months}


def defined(views: Sequence[FeatureViewSpec], *, package: str) -> dict[str, str]:
    """The definition of each view that the code holds now, by name in Feast."""
    return {view_name(view): spec_hash(view, package=package) for view in views}


def demand_built(instance: dg.DagsterInstance, spec: ModelSpec, *, cutoff: str, package: str) -> None:
    """Refuse to train on features of several definitions.

    Raises:
        RebuildDue: a month up to the cut-off was built with another definition than the code holds now.
    """
    if outdated := differing(instance, spec.views, defined(spec.views, package=package), until=cutoff):
        raise RebuildDue(spec, cutoff, outdated)


def demand_trained_on(instance: dg.DagsterInstance, spec: ModelSpec, trained: Mapping[str, str], *, month: str, version: int) -> None:
    """Refuse to predict with a version that was ``trained`` on other definitions (by name in Feast) than those that built the features.

    Raises:
        OtherFeatures: it was.
    """
    if other := differing(instance, spec.views, trained, until=month):
        raise OtherFeatures(spec, month, version, list(other))


def rebuilds(
    instance: dg.DagsterInstance, lake: Lake, views: Sequence[FeatureViewSpec], models: Sequence[ModelSpec], *, package: str
) -> Iterator[Rebuild]:
    """What has to be built again before any model can be trained, as the code stands."""
    outdated = differing(instance, views, defined(views, package=package))
    for view in views:
        where = address(table(view.address, stage="feature"))
        if months := outdated.get(where):
            held = lake.read(where, partitions=None if months == [""] else months)
            readers = tuple(model.name for model in models if view in model.views)
            yield Rebuild(view=where, months=tuple(months), rows=held.select(pl.len()).collect().item(), models=readers)


def told(due: Sequence[Rebuild]) -> str:
    """The rebuilds as a Markdown table; a sentence when there are none."""
    if not due:
        return "Every feature table was built with the definition that the code holds."
    lines = [
        f"| {one.view} | {len(one.months)} ({one.months[0]} to {one.months[-1]}) | {one.rows:,} | {', '.join(one.models) or '-'} |"
        if one.months != ("",)
        else f"| {one.view} | whole table | {one.rows:,} | {', '.join(one.models) or '-'} |"
        for one in due
    ]
    return "\n".join(["| to build again | months | rows | models that wait |", "|---|---|---|---|", *lines])
