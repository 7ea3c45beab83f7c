"""Features into the feature store: what ``feast apply`` does as one asset, and the rows of each view that are online as one more."""

import hashlib
from collections.abc import Sequence

import dagster as dg
import polars as pl

from mlops_assets.automation import APPLY_CHANGED_SPECS, BUILD_NEW_DATA
from mlops_assets.keys import key, table
from mlops_assets.lifecycle.assets import Result, asset, described, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.features import declaration, service, view_name
from mlops_assets.lifecycle.tables import Applied, OnlineRows
from mlops_assets.lifecycle.view_versions import rebuilds, told
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from resources.clock import Clock
from resources.feature_store.store import FeatureStore
from resources.lake import Lake


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
    project: str, views: Sequence[FeatureViewSpec], *, owner: str, partitions_def: dg.PartitionsDefinition[str]
) -> dg.AssetsDefinition:
    """The newest row of every key in the online store, once a month of features is there."""
    asset_key = key("feature", project, "online")
    contract = contract_of(OnlineRows)
    deps = [table(spec.address, stage="feature") for spec in views] + [key("feature", project, "registry")]

    @asset(
        **described(asset_key, owner=owner, level="internal", kinds={"feast", "sqlite"}, cadence="monthly", contract=contract,
                    description="Online rows: for each view and key the newest features known at the data clock's now."),
        deps=deps,
        partitions_def=partitions_def,
        automation_condition=BUILD_NEW_DATA,
    )  # fmt: skip
    def rows(feature_store: FeatureStore, clock: Clock) -> Result:
        written = feature_store.materialize([view_name(spec) for spec in views], until=clock.now())
        frame = pl.DataFrame({"view": list(written), "rows": list(written.values())}, schema={"view": pl.String, "rows": pl.Int64})
        yield from result(asset_key, frame, contract, {"rows_written": sum(written.values())})

    return rows
