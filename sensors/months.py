"""What the sensors know of a project's months: which are complete, scored and trained. Reads the instance, decides nothing."""

from collections.abc import Iterable

import dagster as dg

from mlops_assets.keys import key, table
from mlops_assets.specs import ModelSpec


def ready(instance: dg.DagsterInstance, spec: ModelSpec) -> set[str]:
    """Months of which every monthly table and view that the model reads is there."""
    keys = {table(spec.examples.table)} | {table(view.address, stage="feature") for view in spec.views if view.source.partitions is not None}
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


