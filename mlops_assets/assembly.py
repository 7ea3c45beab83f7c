"""Everything of a catalogue, put together: what the lifecycle, the jobs and the sensors define. Defines nothing itself."""

from collections.abc import Iterator, Mapping

import dagster as dg

from mlops_assets import jobs
from mlops_assets.automation import INTERVAL
from mlops_assets.keys import address
from mlops_assets.lifecycle import (
    arrival,
    comparing,
    consistency,
    deployment,
    evaluation,
    feature_store,
    features,
    housekeeping,
    ingestion,
    monitoring,
    operating,
    prediction,
    rebuild,
    release,
    tracing,
    training,
)
from mlops_assets.partitions import calendar_of, months_of
from mlops_assets.specs import Catalogue, ModelSpec
from resources.lake import Lake
from sensors.deploy_on_release import deploy_on_release
from sensors.follow_on_entry import follow_on_entry
from sensors.ingest_on_new_file import ingest_on_new_file
from sensors.retrain_on_judged_month import retrain_on_judged_month
from sensors.score_on_complete_month import score_on_complete_month


def assembled(catalogue: Catalogue, *, lake: Lake, resources: Mapping[str, object]) -> dg.Definitions:
    """The definitions of a catalogue over these resources; ``lake`` says where its tables are."""
    return dg.Definitions(
        assets=[_placed(one, lake) for one in _assets(catalogue)],
        jobs=[
            arrival.arrival(catalogue),
            comparing.compare(catalogue),
            rebuild.rebuild(catalogue),
            tracing.lineage(catalogue),
            *housekeeping.housekeeping(catalogue),
            *jobs.jobs(catalogue),
            *operating.operating(),
        ],
        sensors=[
            ingest_on_new_file(catalogue),
            score_on_complete_month(catalogue),
            retrain_on_judged_month(catalogue),
            deploy_on_release(catalogue),
            follow_on_entry(),
            dg.AutomationConditionSensorDefinition(
                "build_new_data",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=INTERVAL,
            ),
        ],
        resources=resources,
        executor=dg.in_process_executor,
    )


def _placed(asset: dg.AssetsDefinition, lake: Lake) -> dg.AssetsDefinition:
    """The asset with its address in the lake, which the asset page shows."""

    def placed(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.merge_attributes(metadata={"dagster/uri": lake.uri(address(spec.key))})

    return asset if next(iter(asset.keys)).path[0] == "online" else asset.map_asset_specs(placed)  # online rows are no table


def _assets(catalogue: Catalogue) -> Iterator[dg.AssetsDefinition]:
    months, package = months_of(catalogue.project), catalogue.package
    owner = catalogue.sources[0].owner
    for source in catalogue.sources:
        yield ingestion.ingestion(source, package=package, partitions_def=months)
    for view in catalogue.views:
        yield features.feature_view(view, package=package, partitions_def=months)
    yield feature_store.registry(catalogue.project, catalogue.views, catalogue.models, package=package, owner=owner)
    yield feature_store.online(catalogue.project, catalogue.views, catalogue.models, package=package, partitions_def=months)
    for model in catalogue.models:
        yield from _model(model, catalogue)
    yield deployment.service(catalogue, owner=owner)


def _model(spec: ModelSpec, catalogue: Catalogue) -> Iterator[dg.AssetsDefinition]:
    months, calendar, package = months_of(catalogue.project), calendar_of(catalogue), catalogue.package
    yield training.training_set(spec, package=package, calendar=calendar, partitions_def=months)
    yield training.model(spec, package=package, partitions_def=months)
    yield evaluation.evaluation(spec, partitions_def=months)
    yield release.candidate(spec, partitions_def=months)
    yield release.live(spec)
    yield prediction.batch(spec, package=package, calendar=calendar, partitions_def=months)
    yield monitoring.daily(spec, partitions_def=months)
    yield consistency.consistency(spec, partitions_def=months)
