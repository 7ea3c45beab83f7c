"""Named automation conditions, each with the failure that it prevents, and how every sensor looks. No asset carries an inline condition."""

from collections.abc import Callable, Iterable
from typing import Final

import dagster as dg

INTERVAL: Final = 30
"""Seconds between two looks of a sensor."""

SETTLED: Final = (
    dg.AutomationCondition.all_deps_blocking_checks_passed()  # `any_deps_updated` alone fires despite a failed check in another run
    & ~dg.AutomationCondition.any_deps_missing()  # weather may come a minute after flights
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)

BUILD_NEW_DATA: Final = (
    dg.AutomationCondition.any_deps_updated().since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
    & SETTLED
).with_label("build_new_data")
"""Build a partition once when its data arrives or is corrected; the latch keeps a tick that came too early from losing the update."""

APPLY_CHANGED_SPECS: Final = (
    (
        dg.AutomationCondition.code_version_changed() | dg.AutomationCondition.missing().newly_true()  # bare `missing` fires every tick
    ).since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
    & ~dg.AutomationCondition.in_progress()
).with_label("apply_changed_specs")
"""Apply the feature registry when a declaration changed, and once when it was never applied."""


def sensor(
    name: str, look: Callable[..., dg.SensorResult | dg.SkipReason], *, launches: Iterable[dg.AssetKey], description: str
) -> dg.SensorDefinition:
    """A sensor that is on from the start. Its runs go through the one job of all assets: a ``target`` would resolve a job more."""
    return dg.SensorDefinition(
        name=name,
        evaluation_fn=look,
        asset_selection=dg.AssetSelection.assets(*launches),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
