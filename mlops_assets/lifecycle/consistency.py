"""Served against trained: a sample of the features that predictions were made on, replayed through the path that training sets take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.assets import Result, asset, described, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.features import view_name
from mlops_assets.lifecycle.statistics import WITH_VALUES, markdown_table
from mlops_assets.lifecycle.tables import Compared
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from mlops_assets.table import Level
from resources.clock import Clock
from resources.feature_store.asof import INSTANT, Columns
from resources.feature_store.declarations import MONTH, STAMP
from resources.feature_store.store import FeatureStore
from resources.lake import Lake
from resources.monitors.consistency import AT, DAY, ID, LIMIT, ROWS, Past, PastOf, Skew, by_day, differing, skews

PER_DAY: Final = 50
"""Predictions of a day that are replayed."""

SERVED: Final = "served_as_trained"
ONLINE: Final = "online_as_offline"
CHECKS: Final = {
    SERVED: f"At most {LIMIT:.1%} of a feature's values were served otherwise than the offline path gives them for the same instant.",
    ONLINE: f"At most {LIMIT:.1%} of a feature's fresh online rows differ from what the offline path gives at the data clock's now.",
}
NAMED: Final = 3
"""Features that a sentence names."""
WORST: Final = 12
EXAMPLES: Final = 3
"""Features that a table shows, and examples of each."""
NONE: Final = "No feature differs."
KINDS: Final = {"feature": pl.String(), "kind": pl.String()}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One path against the offline path: how many values were compared, which features differ, most first; why none could be compared."""

    compared: int
    skews: Sequence[Skew]
    nothing: str

    @property
    def mismatched(self) -> int:
        """Values that differ."""
        return sum(one.mismatched for one in self.skews)

    @property
    def sentence(self) -> str:
        """The same in words."""
        if not self.compared:
            return self.nothing
        told = [one.sentence for one in self.skews[:NAMED]] or ["all are equal."]
        more = [f"{len(self.skews) - NAMED} more features differ."] if len(self.skews) > NAMED else []
        return " ".join([f"{self.compared:,} values compared:", *told, *more])


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """A row a day and feature of a log; what the log and what the online rows of its entities say against the offline path."""

    rows: pl.DataFrame
    served: Comparison
    online: Comparison


def sampled(lake: Lake, spec: ModelSpec, month: str) -> pl.DataFrame:
    """Some predictions of a month, up to ``PER_DAY`` a day, always the same; an empty frame if there are none."""
    where = address(key("prediction", spec.name, "batch"))
    if not lake.exists(where) or month not in lake.digests(where):
        return pl.DataFrame()
    place = pl.col(ID).hash(spec.seed).rank("ordinal").over(DAY)
    return lake.read(where, partitions=[month]).filter(place <= PER_DAY).collect().sort(AT, ID)


def compare(spec: ModelSpec, log: pl.DataFrame, store: FeatureStore, lake: Lake, *, now: datetime) -> Consistency:
    """Replay a log through the offline path, and read its entities online at ``now``: one retrieval gives both instants.

    A log row has ``prediction_id``, local ``day``, ``predict_at``, the entity keys and ``view__feature`` columns, whoever wrote it.
    """
    logged = [(view, [name for name in named(view).values() if name in log.columns]) for view in spec.views]
    names = [name for _, some in logged for name in some]
    if log.is_empty() or not names:
        nothing = f"{spec.name} has no predictions with features of a view in this month, so nothing was compared."
        none = Comparison(compared=0, skews=(), nothing=nothing)
        return Consistency(rows=pl.DataFrame(schema={**ROWS, "kind": pl.String()}), served=none, online=none)
    keys = list(dict.fromkeys(column for view in spec.views for column in view.entity.keys))
    entities = log.unique(keys, keep="first", maintain_order=True).select(ID, *keys, pl.lit(now).cast(INSTANT).alias(AT))
    offline = store.historical(spec.name, pl.concat([log.select(*keys, AT), entities.select(*keys, AT)]), at=AT)
    then, at_now = offline.head(log.height), offline.tail(entities.height)
    wrong = differing(log, then, names)
    served = compared(((view, log, then, wrong.select(some)) for view, some in logged), lake, nothing="")
    online = store.online(spec.name, entities, at=now)
    nothing = f"No entity of {spec.name} has a fresh online row at {now:%Y-%m-%d %H:%M} UTC, so nothing was compared."
    fresh = compared((_fresh(view, online, at_now) for view in spec.views), lake, nothing=nothing)
    return Consistency(rows=by_kind(log, wrong, served.skews), served=served, online=fresh)


Part = tuple[FeatureViewSpec, pl.DataFrame, pl.DataFrame, pl.DataFrame]
"""A view, examples as one path has them, the same as the offline path has them, and where its features differ."""


def _fresh(view: FeatureViewSpec, online: pl.DataFrame, offline: pl.DataFrame) -> Part:
    kept = online[f"{view_name(view)}__status"] == "fresh"
    one, other = online.filter(kept), offline.filter(kept)
    return view, one, other, differing(one, other, named(view).values())


def compared(parts: Iterable[Part], lake: Lake, *, nothing: str) -> Comparison:
    """What differs in each view, with its kind."""
    count, found = 0, list[Skew]()
    for view, one, offline, wrong in parts:
        count += wrong.height * wrong.width
        found += skews(one, offline, wrong, past=past_of(view, lake))
    return Comparison(compared=count, skews=sorted(found, key=lambda skew: -skew.rate), nothing=nothing)


def by_kind(log: pl.DataFrame, wrong: pl.DataFrame, found: Sequence[Skew]) -> pl.DataFrame:
    """A row a day and feature; the kind beside what differs."""
    kinds = pl.DataFrame({"feature": [one.feature for one in found], "kind": [one.kind for one in found]}, schema=KINDS)
    rows = by_day(log, wrong).join(kinds, on="feature", how="left", maintain_order="left")
    return rows.with_columns(pl.when(pl.col("mismatched") > 0).then("kind").alias("kind"))


def named(view: FeatureViewSpec) -> dict[str, str]:
    """The features of a view, each with its name in examples."""
    return {feature: f"{view_name(view)}__{feature}" for feature in view.features}


def past_of(view: FeatureViewSpec, lake: Lake) -> PastOf:
    """Reads what the view's table has of the keys of some examples."""
    keys = view.entity.keys
    columns = Columns(keys=keys, stamp=STAMP, tie=MONTH if view.source.partitions else None)

    def past(examples: pl.DataFrame) -> Past:
        known = lake.read(address(table(view.address, stage="feature"))).join(examples.lazy().select(keys).unique(), on=keys, how="semi")
        features = [pl.col(feature).alias(name) for feature, name in named(view).items()]
        return Past(rows=known.select(*keys, *columns.order, *features).collect(), columns=columns, ttl=view.ttl)

    return past


def consistency(spec: ModelSpec, *, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The asset: served against trained, a row a day and feature of a month, and a check of each way that values are served."""
    asset_key, contract = key("monitor", spec.name, "consistency"), contract_of(Compared)
    given = described(
        asset_key, owner=spec.owner, level=spec.level, kinds={"polars", "feast"}, cadence="monthly", contract=contract,
        description=f"Whether {spec.name} is served what it is trained on: a sample of its predictions, replayed through the offline path.",
    )  # fmt: skip
    more = [dg.AssetCheckSpec(name, asset=asset_key, description=what) for name, what in CHECKS.items()]
    views = [table(view.address, stage=stage) for stage in ("feature", "online") for view in spec.views]

    @asset(
        **{**given, "check_specs": [*given["check_specs"], *more]},
        deps=[key("prediction", spec.name, "batch"), *views],
        partitions_def=partitions_def,
    )
    def report(context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStore, clock: Clock) -> Result:
        log = sampled(lake, spec, context.partition_key)
        found = compare(spec, log, feature_store, lake, now=clock.now())
        both = {SERVED: found.served, ONLINE: found.online}
        checks = [verdict(asset_key, name, one, level=spec.level) for name, one in both.items()]
        yield from result(asset_key, found.rows, contract, metadata(found, predictions=log.height), checks=checks)

    return report


def verdict(asset_key: dg.AssetKey, name: str, found: Comparison, *, level: Level) -> dg.AssetCheckResult:
    """The check of one way that values are served. Where nothing could be compared it passes and says so."""
    return dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=name,
        passed=not any(one.over for one in found.skews),
        severity=dg.AssetCheckSeverity.ERROR,
        description=found.sentence,
        metadata={
            "compared": found.compared,
            "mismatched": found.mismatched,
            "features": dg.MetadataValue.md(worst(found.skews)),
            "examples": dg.MetadataValue.md(examples(found.skews, level=level)),
        },
    )


def metadata(found: Consistency, *, predictions: int) -> dict[str, Any]:
    """What the asset page shows of a month; rates only where something was compared."""
    sides = {"served": found.served, "online": found.online}
    return {
        "predictions": predictions,
        **{f"{side}_sentence": one.sentence for side, one in sides.items()},
        **{f"{side}_values": one.compared for side, one in sides.items()},
        **{f"{side}_mismatch_rate": one.mismatched / one.compared for side, one in sides.items() if one.compared},
        **{f"{side}_worst_rate": max((skew.rate for skew in one.skews), default=0.0) for side, one in sides.items() if one.compared},
        "worst_features": dg.MetadataValue.md(worst([*found.served.skews, *found.online.skews])),
    }


def worst(found: Sequence[Skew]) -> str:
    """The features that differ most, as a Markdown table."""
    rows = [(one.feature, one.compared, one.mismatched, f"{one.rate:.2%}", one.kind) for one in found[:WORST]]
    return markdown_table(("feature", "compared", "mismatched", "rate", "likely"), rows) if rows else NONE


def examples(found: Sequence[Skew], *, level: Level) -> str:
    """Some predictions that show it, as a Markdown table: ids, and the values up to level internal."""
    cases = [(one.feature, *case) for one in found[:WORST] for case in one.cases.head(EXAMPLES).iter_rows()]
    if not cases:
        return NONE
    if level in WITH_VALUES:
        return markdown_table(("feature", ID, "served", "offline"), [(*case[:2], *map(repr, case[2:])) for case in cases])
    return markdown_table(("feature", ID), [case[:2] for case in cases]) + f"\n\nValues are not shown: the model's level is {level}."
