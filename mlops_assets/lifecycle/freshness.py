"""Whether a feature view is as fresh as it promises, by the data clock: no wall clock, no policy of Dagster's."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from mlops_assets.specs import FeatureViewSpec

FRESH: Final = "fresh"
HOUR: Final = timedelta(hours=1)


def promise(spec: FeatureViewSpec) -> timedelta | None:
    """How old a view's newest row may be: its ttl, or its longest window, after which every window is empty; None: as old as it likes."""
    return spec.ttl or max((window.over for window in spec.windows.values()), default=None)


def fresh_specs(asset_key: dg.AssetKey, spec: FeatureViewSpec) -> Iterator[dg.AssetCheckSpec]:
    """The check ``fresh`` of an asset that is made of a view, if the view promises anything. It blocks nothing."""
    if (most := promise(spec)) is not None:
        yield dg.AssetCheckSpec(
            FRESH, asset=asset_key, description=f"At the data clock's now the newest row is at most {_hours(most)} old."
        )


def freshness(asset_key: dg.AssetKey, spec: FeatureViewSpec, found: datetime | None, *, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The result of ``fresh`` for a view whose newest row is of ``found``: a warning, because nothing that is old is thereby wrong."""
    if (most := promise(spec)) is None:
        return
    passed = found is not None and now - found <= most
    age = {} if found is None else {"age_hours": (now - found) / HOUR, "newest": dg.MetadataValue.text(found.isoformat())}
    yield dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=FRESH,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if passed else _late(spec, found, most, now),
        metadata={**age, "promised_hours": most / HOUR},
    )


def _late(spec: FeatureViewSpec, found: datetime | None, most: timedelta, now: datetime) -> str:
    row = "it has no row" if found is None else f"its newest row is of {found:%Y-%m-%d %H:%M} UTC"
    return (
        f"{spec.address} promises rows at most {_hours(most)} old; at {now:%Y-%m-%d %H:%M} UTC {row}, so models get nulls or empty "
        f"windows. Deliver {spec.source.table} up to then, or say in the view's spec that older rows will do."
    )


def _hours(time: timedelta) -> str:
    return f"{time / HOUR:g} h"
