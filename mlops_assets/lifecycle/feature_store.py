"""Features into the feature store: what ``feast apply`` does as one asset, and the rows of each view that are online as one more."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from mlops_assets.automation import APPLY_CHANGED_SPECS, BUILD_NEW_DATA
from mlops_assets.keys import key, table
from mlops_assets.lifecycle.assets import Result, asset, described, result
from mlops_assets.lifecycle.checks import Contract, check_spec, checked, contract_of
from mlops_assets.lifecycle.features import declaration, feature_contract, months_back, service, view_name
from mlops_assets.lifecycle.freshness import fresh_specs, freshness
from mlops_assets.lifecycle.tables import Applied
from mlops_assets.lifecycle.view_versions import built_with, defined, rebuilds, told
from mlops_assets.partitions import shift
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from resources.clock import Clock
from resources.feature_store.store import FeatureStore
from resources.lake import Lake
from resources.registry.resource import Registry

if TYPE_CHECKING:
    from resources.feature_store.serving_rows import Loaded


def registry(
    project: str, views: Sequence[FeatureViewSpec], models: Sequence[ModelSpec], *, package: str, owner: str
) -> dg.AssetsDefinition:
    """``feast apply`` as an asset: the Feast registry equals the declarations. Its page shows what a changed definition makes due."""
    declared = [declaration(spec, package=package) for spec in views]
    services = [service(model) for model in models]
    asset_key = key("feature", project, "registry")
    contract = contract_of(Applied)

    @asset(
        **described(asset_key, owner=owner, level="internal", kinds={"feast", "sqlite"}, cadence="once", contract=contract,
                    description="The Feast registry: entities, feature views and feature services as declared in the catalogue."),
        code_version=hashlib.sha256(repr([(view.name, view.spec_hash) for view in declared] + services).encode()).hexdigest()[:16],
        automation_condition=APPLY_CHANGED_SPECS,
    )  # fmt: skip
    def applied(context: dg.AssetExecutionContext, feature_store: FeatureStore, lake: Lake) -> Result:
        due = told([*rebuilds(context.instance, lake, views, models, package=package)])
        context.log.info(due)
        done = feature_store.apply(declared, services)
        frame = pl.DataFrame(
            {"view": list(done.views), "spec_hash": list(done.views.values())}, schema={"view": pl.String, "spec_hash": pl.String}
        )
        yield from result(
            asset_key,
            frame,
            contract,
            {"views": len(done.views), "changed": ", ".join(done.changed) or "none", "to_build_again": dg.MetadataValue.md(due)},
        )

    return applied


def online(
    project: str,
    views: Sequence[FeatureViewSpec],
    models: Sequence[ModelSpec],
    *,
    package: str,
    partitions_def: dg.PartitionsDefinition[str],
) -> dg.AssetsDefinition:
    """The online rows of each view, an asset a view and a partition a month; one step loads all views that a run asks for."""
    specs, now = {view_name(spec): spec for spec in views}, defined(views, package=package)
    keys = {name: table(spec.address, stage="online") for name, spec in specs.items()}
    arrivals = {table(spec.source.table) for spec in views if spec.source.partitions}
    contracts = {name: feature_contract(spec) for name, spec in specs.items()}
    checks = [one for name, spec in specs.items() for one in (check_spec(keys[name]), *fresh_specs(keys[name], spec))]

    @dg.multi_asset(
        name=f"online__{project}",
        specs=[
            _rows_of(spec, contracts[name], registry=key("feature", project, "registry"), arrivals=arrivals, code_version=now[name][:16])
            for name, spec in specs.items()
        ],
        check_specs=checks,
        partitions_def=partitions_def,
        can_subset=True,
    )
    def load(context: dg.AssetExecutionContext, feature_store: FeatureStore, registry: Registry, clock: Clock):  # noqa: ANN202  Dagster reads a return annotation as a type
        until = clock.now()
        wanted = [name for name in specs if keys[name] in context.selected_asset_keys]
        before = {name: built_with(context.instance, keys[name]) for name in wanted}
        firsts = {
            name: unread_from(context.instance, specs[name], before[name], month=context.partition_key, now=now[name]) for name in wanted
        }
        loaded = feature_store.materialize(wanted, until=until, since={name: first for name, first in firsts.items() if first})
        changed = {name: now[name] for name in wanted if any(not now[name].startswith(one) for one in before[name].values())}
        for name in unused(registry, models, changed):
            feature_store.forget(name, keep={declaration(specs[name], package=package).layout})
        for name, done in loaded.items():
            yield dg.MaterializeResult(
                asset_key=keys[name],
                metadata=told_of(specs[name], done, until=until),
                check_results=[
                    checked(keys[name], done.sample.drop("status"), contracts[name]),
                    *freshness(keys[name], specs[name], done.newest, now=until),
                ],
            )

    return load


def told_of(spec: FeatureViewSpec, done: "Loaded", *, until: datetime) -> dict[str, Any]:
    """What the page of a view's online rows shows: how many a load wrote, and what a client is told of some of them."""
    status = dict(done.sample["status"].value_counts().iter_rows())
    return {
        "rows_written": done.rows,
        "until": dg.MetadataValue.timestamp(until),
        "rows_read_back": done.sample.height,
        **{f"read_back_{one}": status.get(one, 0) for one in ("fresh", "stale")},
        "dagster/column_lineage": dg.TableColumnLineage(
            {name: [dg.TableColumnDep(table(spec.address, stage="feature"), name)] for name in feature_contract(spec).columns}
        ),
    }


def unread_from(instance: dg.DagsterInstance, spec: FeatureViewSpec, loaded: Mapping[str, str], *, month: str, now: str) -> str | None:
    """The first month whose features a load must read, as far as the longest window reaches; None for all of them.

    All, until every earlier month was ``loaded`` with the definition of ``now``: an empty store fills itself, a killed load is made good.
    """
    if spec.source.partitions is None:
        return None
    first = shift(month, -months_back(spec))
    there = instance.get_materialized_partitions(table(spec.address, stage="feature"))
    return first if all(now.startswith(loaded.get(one, "never")) for one in there if one < first) else None


def unused(registry: Registry, models: Sequence[ModelSpec], definitions: Mapping[str, str]) -> list[str]:
    """The views (by name in Feast) of which no live version was trained on another definition than this one."""
    if not definitions:
        return []
    ledger = registry.ledger()
    live = [registry.load(entry).record["identity"]["views"] for model in models if (entry := ledger.live(model.name))]
    return [name for name, definition in definitions.items() if all(views.get(name, definition) == definition for views in live)]


def _rows_of(
    spec: FeatureViewSpec, contract: Contract, *, registry: dg.AssetKey, arrivals: set[dg.AssetKey], code_version: str
) -> dg.AssetSpec:
    """The rows of one view. A whole table is loaded again with every month: its rows may have come to be known since."""
    given = described(
        table(spec.address, stage="online"), owner=spec.owner, level=spec.level or spec.source.level, kinds={"feast"},
        cadence="monthly", contract=contract,
        description=f"Online rows of {view_name(spec)}: of each key the newest features known at the data clock's now.",
    )  # fmt: skip
    del given["check_specs"], given["io_manager_key"]
    deps = {table(spec.address, stage="feature"), registry, *(() if spec.source.partitions else arrivals)}
    return dg.AssetSpec(**given, deps=sorted(deps), code_version=code_version, skippable=True, automation_condition=BUILD_NEW_DATA)
