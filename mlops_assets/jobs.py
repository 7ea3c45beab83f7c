"""Named selections, what a person or a sensor launches at once; and which months have been through them."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from mlops_assets.keys import key, table
from mlops_assets.specs import Catalogue, ModelSpec


def ingest_keys(name: str) -> list[dg.AssetKey]:
    """A table and its quarantine: one file makes both."""
    return [table(name), table(name, stage="quarantine")]


def score_keys(spec: ModelSpec) -> list[dg.AssetKey]:
    """A model's predictions of a month and what the monitor makes of them."""
    return [key("prediction", spec.name, "batch"), key("monitor", spec.name, "daily")]


def train_keys(spec: ModelSpec) -> list[dg.AssetKey]:
    """From examples to the live version; the gate stands in between."""
    return [
        key("training_set", spec.name, "examples"),
        key("model", spec.name, "parts"),
        key("evaluation", spec.name, "holdout"),
        key("release", spec.name, "candidate"),
        key("release", spec.name, "live"),
    ]


def deploy_keys(catalogue: Catalogue) -> list[dg.AssetKey]:
    """The project's service."""
    return [key("deployment", catalogue.project, "service")]


def jobs(catalogue: Catalogue) -> Sequence[UnresolvedAssetJobDefinition]:
    """``train_<model>`` and ``score_<model>`` for each model, ``ingest_<table>`` for each source, ``deploy_<project>``."""
    return [
        *(
            _job(f"ingest_{spec.table.replace('/', '_')}", ingest_keys(spec.table), f"Ingest one file of {spec.table}.")
            for spec in catalogue.sources
        ),
        *(
            _job(f"train_{spec.name}", train_keys(spec), f"Train, judge and release {spec.name} for a cut-off month.")
            for spec in catalogue.models
        ),
        *(_job(f"score_{spec.name}", score_keys(spec), f"Predict a month with {spec.name} and monitor it.") for spec in catalogue.models),
        _job(f"deploy_{catalogue.project}", deploy_keys(catalogue), f"Make the service of {catalogue.project} answer what is live."),
    ]


def _job(name: str, keys: Sequence[dg.AssetKey], description: str) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys), description=description)


def ready(instance: dg.DagsterInstance, spec: ModelSpec) -> set[str]:
    """Months of which every monthly table and view that the model reads is there."""
    keys = {table(spec.examples.table)} | {
        table(view.address, stage="feature") for view in spec.views if view.source.partitions is not None
    }
    return set.intersection(*(done(instance, one) for one in keys))


def done(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> set[str]:
    """Months that the asset has."""
    return set(instance.get_materialized_partitions(asset_key))


def scored(instance: dg.DagsterInstance, spec: ModelSpec) -> set[str]:
    """Months that the monitor has judged."""
    return done(instance, key("monitor", spec.name, "daily"))


def newest(instance: dg.DagsterInstance) -> str:
    """A cursor over everything that happened: while it stands still, nothing can have become due."""
    return str(instance.event_log_storage.get_maximum_record_id() or 0)
