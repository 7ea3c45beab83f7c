"""Features to predictions, in bulk: the version that was live for the month, through the code that the service runs."""

import dagster as dg
import polars as pl

from mlops_assets.keys import key, table
from mlops_assets.lifecycle.assets import Result, asset, described, month_of, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.examples import PREDICT_AT, spine
from mlops_assets.lifecycle.tables import Predicted
from mlops_assets.lifecycle.view_versions import demand_trained_on
from mlops_assets.partitions import end_of
from mlops_assets.specs import ModelSpec, Months
from resources.errors import PlatformError
from resources.feature_store.store import FeatureStore
from resources.registry.releases import Release
from resources.registry.resource import Registry
from resources.serving.scoring import prediction_ids, score


class NothingWasLive(PlatformError):
    """A month for which no version can answer."""

    def __init__(self, spec: ModelSpec, month: str) -> None:
        super().__init__(
            f"{spec.name} had no live version in {month}, so that month cannot be predicted. "
            f"Materialize release/{spec.name}/candidate and release/{spec.name}/live for an earlier cut-off first."
        )


class CodeChanged(PlatformError):
    """A live version whose code is not here any more."""

    def __init__(self, spec: ModelSpec, month: str, version: int) -> None:
        super().__init__(
            f"{spec.name} {month}: version {version} was released with other code than {spec.score.__module__} holds now, so nothing was "
            f"predicted: this code would misread its parts. Train and release {spec.name} again, or bring that code back."
        )


def predictions(examples: pl.DataFrame, release: Release, *, version: int) -> pl.DataFrame:
    """Examples with features to answers, each with its id, version and content hash; the features as scored stay beside them."""
    features = tuple(release.signature["features"])
    scores = score(release.signature["entry"], dict(release.parts), examples, features)
    return examples.with_columns(
        prediction_ids(release.content_hash, examples, (*release.signature["request"], *features)),
        scores.alias("prediction"),
        pl.lit(version, pl.Int64).alias("model_version"),
        pl.lit(release.content_hash).alias("content_hash"),
    )


def batch(spec: ModelSpec, *, package: str, calendar: Months, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The predictions of a month."""
    asset_key, contract = key("prediction", spec.name, "batch"), contract_of(Predicted, open=True)

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level, kinds={"polars", "mlflow"}, cadence="monthly", contract=contract,
                    description=f"What the live version of {spec.name} answers for each example: id, version, hash, features."),
        ins={"source": month_of(table(spec.examples.table))},
        deps=[*(table(view.address, stage="feature") for view in spec.views), key("release", spec.name, "live")],
        partitions_def=partitions_def,
    )  # fmt: skip
    def answers(context: dg.AssetExecutionContext, source: pl.LazyFrame, feature_store: FeatureStore, registry: Registry) -> Result:
        until = end_of(context.partition_key, calendar)
        live = registry.ledger().live_for(spec.name, until)
        if live is None:
            raise NothingWasLive(spec, context.partition_key)
        release = registry.load(live)
        if release.signature["code_hash"] != code_version(spec.score, package=package):
            raise CodeChanged(spec, context.partition_key, int(live.version or 0))
        trained = release.record["identity"]["views"]
        demand_trained_on(context.instance, spec, trained, month=context.partition_key, version=int(live.version or 0))
        examples = feature_store.historical(spec.name, spine(spec, source.collect(), calendar=calendar, until=until), at=PREDICT_AT)
        frame = predictions(examples, release, version=int(live.version or 0))
        yield from result(asset_key, frame, contract, {"model_version": int(live.version or 0), "content_hash": str(live.content_hash)})

    return answers
