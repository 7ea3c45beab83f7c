"""Named selections, what a person or a sensor launches at once; and which months have been through them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

# What `define_asset_job` returns has no public name; tests/upstream pins this one.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from mlops_assets.keys import key, short, table
from mlops_assets.specs import Catalogue, ModelSpec
from resources.registry.resource import Registry


def ingest_keys(name: str) -> list[dg.AssetKey]:
    """A table and its quarantine: one file makes both."""
    return [table(name), table(name, stage="quarantine")]


def score_keys(spec: ModelSpec) -> list[dg.AssetKey]:
    """A model's predictions of a month, what the monitor makes of them, and whether they were made on what it is trained on."""
    return [key("prediction", spec.name, "batch"), key("monitor", spec.name, "daily"), key("monitor", spec.name, "consistency")]


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


MOST: Final = 10
"""Models up to which each has named jobs: a job costs 40 ms whenever definitions load; ``group:"<model>/*"`` selects as much."""


def jobs(catalogue: Catalogue) -> Sequence[UnresolvedAssetJobDefinition]:
    """``train_<model>`` and ``score_<model>`` for each of a few models, ``ingest_<table>`` for each source, ``deploy_<project>``."""
    models = catalogue.models if len(catalogue.models) <= MOST else ()
    return [
        *(
            _job(f"ingest_{spec.table.replace('/', '_')}", ingest_keys(spec.table), f"Ingest one file of {spec.table}.")
            for spec in catalogue.sources
        ),
        *(_job(f"train_{spec.name}", train_keys(spec), f"Train, judge and release {spec.name} for a cut-off month.") for spec in models),
        *(_job(f"score_{spec.name}", score_keys(spec), f"Predict a month with {spec.name} and monitor it.") for spec in models),
        _job(f"deploy_{catalogue.project}", deploy_keys(catalogue), f"Make the service of {catalogue.project} answer what is live."),
    ]


def _job(name: str, keys: Sequence[dg.AssetKey], description: str) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys), description=description)  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is


@dataclass(frozen=True)
class Done:
    """The months that assets have, each asked for once: two hundred models share their tables and views."""

    instance: dg.DagsterInstance
    _known: dict[dg.AssetKey, set[str]] = field(default_factory=dict[dg.AssetKey, set[str]])

    def months(self, asset_key: dg.AssetKey) -> set[str]:
        """Months that the asset has."""
        if asset_key not in self._known:
            self._known[asset_key] = set(self.instance.get_materialized_partitions(asset_key))
        return self._known[asset_key]

    def ready(self, spec: ModelSpec) -> set[str]:
        """Months of which every monthly table and view that the model reads is there."""
        views = [table(view.address, stage="feature") for view in spec.views if view.source.partitions is not None]
        return self.months(table(spec.examples.table)).intersection(*map(self.months, views))

    def scored(self, spec: ModelSpec) -> set[str]:
        """Months that the monitor has judged."""
        return self.months(key("monitor", spec.name, "daily"))

    def trained(self, spec: ModelSpec) -> set[str]:
        """Cut-off months that a training was begun for."""
        return self.months(key("training_set", spec.name, "examples"))


def looked_at(instance: dg.DagsterInstance, registry: Registry, catalogue: Catalogue) -> str:
    """A cursor over all that makes a run due: events, ledger, declarations. While it stands still, nothing can have become due."""
    declared = short([(spec.name, spec.train_on, spec.retrain) for spec in catalogue.models])
    return f"{instance.event_log_storage.get_maximum_record_id() or 0} {registry.ledger().seq()} {declared}"
