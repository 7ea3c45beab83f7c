"""The roof: a catalogue becomes Definitions. Assembles what the lifecycle, the jobs and the sensors define; defines nothing itself."""

import gc
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from mlops_assets import (
    greedy,  # noqa: F401  # pyright: ignore[reportUnusedImport]  importing greedy is its check
    jobs,
)
from mlops_assets.keys import address
from mlops_assets.lifecycle import arrival, deployment, evaluation, features, ingestion, monitoring, prediction, release, training
from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.io import LakeIOManager
from mlops_assets.partitions import calendar_of, months_of
from mlops_assets.specs import Catalogue, ModelSpec
from resources.lake import Lake
from resources.profiles import Resources, select
from resources.settings import Settings
from sensors.deploy_on_release import deploy_on_release
from sensors.ingest_on_new_file import ingest_on_new_file
from sensors.retrain_on_judged_month import retrain_on_judged_month
from sensors.score_on_complete_month import score_on_complete_month


def build(catalogue: Catalogue, settings: Settings | None = None, overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The definitions of a project.

    ``settings`` default to the environment's, read once; ``overrides`` replace resources by name, for tests.
    """
    resources = select(settings or Settings.from_environment(), project=catalogue.project)
    with _without_collector():
        assets = [_placed(one, resources.lake) for one in _assets(catalogue)]
    return dg.Definitions(
        assets=assets,
        jobs=[arrival.arrival(catalogue), *jobs.jobs(catalogue)],
        sensors=[
            ingest_on_new_file(catalogue),
            score_on_complete_month(catalogue),
            retrain_on_judged_month(catalogue),
            deploy_on_release(catalogue),
            dg.AutomationConditionSensorDefinition(
                "build_new_data", target=dg.AssetSelection.all(), default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=30
            ),
        ],
        resources={**named(resources), **(overrides or {})},
        executor=dg.in_process_executor,
    )


@contextmanager
def _without_collector() -> Generator[None]:
    """What a catalogue becomes stays as long as the process: to search it for garbage, now or later, costs a quarter of the load."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def named(resources: Resources) -> dict[str, object]:
    """The record's fields by name, and the io manager over its lake."""
    return {**{name: getattr(resources, name) for name in resources.__dataclass_fields__}, IO_MANAGER: LakeIOManager(lake=resources.lake)}


def _placed(asset: dg.AssetsDefinition, lake: Lake) -> dg.AssetsDefinition:
    """The asset with its address in the lake, which the asset page shows."""
    return asset.map_asset_specs(lambda spec: spec.merge_attributes(metadata={"dagster/uri": lake.uri(address(spec.key))}))


def _assets(catalogue: Catalogue) -> Iterator[dg.AssetsDefinition]:
    months, package = months_of(catalogue.project), catalogue.package
    owner = catalogue.sources[0].owner
    for source in catalogue.sources:
        yield ingestion.ingestion(source, package=package, partitions_def=months)
    for view in catalogue.views:
        yield features.feature_view(view, package=package, partitions_def=months)
    yield features.registry(catalogue.project, catalogue.views, catalogue.models, package=package, owner=owner)
    yield features.online(catalogue.project, catalogue.views, owner=owner, partitions_def=months)
    for model in catalogue.models:
        yield from _model(model, catalogue)
    yield deployment.service(catalogue, owner=owner)


def _model(spec: ModelSpec, catalogue: Catalogue) -> Iterator[dg.AssetsDefinition]:
    months, calendar, package = months_of(catalogue.project), calendar_of(catalogue), catalogue.package
    yield training.training_set(spec, calendar=calendar, partitions_def=months)
    yield training.model(spec, package=package, partitions_def=months)
    yield evaluation.evaluation(spec, partitions_def=months)
    yield release.candidate(spec, partitions_def=months)
    yield release.live(spec)
    yield prediction.batch(spec, package=package, calendar=calendar, partitions_def=months)
    yield monitoring.daily(spec, partitions_def=months)
