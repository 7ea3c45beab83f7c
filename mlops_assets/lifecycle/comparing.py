"""Released versions side by side, for a person who asks: scored anew, by the code that is here, on examples that are new to all of them."""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.evaluation import LIVE_PREDICTION, alike, comparable, differences, pictures, scored, weight
from mlops_assets.lifecycle.reporting import comparison_page
from mlops_assets.specs import Catalogue, ModelSpec
from resources.errors import PlatformError
from resources.lake import Lake
from resources.registry.comparison import Side, changes
from resources.registry.releases import Release
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.whole import write_whole


class NothingToCompare(PlatformError):
    """Fewer than two versions, or one that nobody registered."""

    def __init__(self, *, model: str, asked: Sequence[int], known: int) -> None:
        super().__init__(
            f"{model}: versions {', '.join(map(str, asked)) or 'none'} cannot be compared; the ledger knows {known} of it. "
            "Nothing was written. Name two or more of them; without names it is the newest against the live one, or the one before it."
        )


def sides(spec: ModelSpec, registry: Registry, lake: Lake, versions: Sequence[int], *, package: str) -> list[Side]:
    """The versions with all that is known of them; the first is what the others are measured against."""
    entries = {entry.version: entry for entry in registry.ledger().entries(spec.name) if entry.kind == "registered"}
    if len(versions) < 2 or any(one not in entries for one in versions):  # noqa: PLR2004  to compare takes two
        raise NothingToCompare(model=spec.name, asked=versions, known=len(entries))
    releases = [registry.load(entries[one]) for one in versions]
    rows = shared(spec, lake, releases)
    here = code_version(spec.score, package=package)
    weights = [weight(registry.releases().files(spec.name, one.content_hash)) for one in releases]
    about = [(f"version {number}", size) for number, size in zip(versions, weights, strict=True)]
    return [side(spec, lake, one, releases[0], rows, here=here, about=said) for said, one in zip(about, releases, strict=True)]


def shared(spec: ModelSpec, lake: Lake, releases: Sequence[Release]) -> pl.DataFrame:
    """The examples of the newest training set that are new to every version."""
    newest = max(one.record["identity"]["cutoff"] for one in releases)
    rows = lake.read(address(key("training_set", spec.name, "examples")), partitions=[newest]).collect()
    for one in releases:
        rows = comparable(one, rows)
    return rows


def side(spec: ModelSpec, lake: Lake, one: Release, first: Release, rows: pl.DataFrame, *, here: str, about: tuple[str, int]) -> Side:
    """A version measured against the first on ``rows``; ``here`` is the hash of the code that would score it, ``about`` name and size."""
    name, size = about
    told = Side(name=name, record=one.record, evaluation=evaluated(spec, lake, one), size=size)
    if one.signature["code_hash"] != here:
        return replace(told, alone="it was released with other code than is here, so it is not scored here.")
    if not alike(one, first):
        return replace(told, alone="it reads other definitions of features, so it is not compared on these rows.")
    if rows.is_empty():
        return replace(told, alone="no example is new to all these versions.")
    mine = scored(one, rows)
    found = () if one is first else tuple(differences(spec, scored(first, mine, name=LIVE_PREDICTION)))
    drawn = {what: svg for what, (svg, _) in pictures(spec, mine, one).items()}
    return replace(told, differences=found, pictures=drawn)


def evaluated(spec: ModelSpec, lake: Lake, release: Release) -> pl.DataFrame:
    """The version's own evaluation; without rows if its month was trained again since."""
    cutoff = release.record["identity"]["cutoff"]
    fitted, where = address(key("model", spec.name, "parts")), address(key("evaluation", spec.name, "holdout"))
    own = lake.read(fitted, partitions=[cutoff]).collect()["content_hash"].to_list() == [release.content_hash]
    rows = lake.read(where, partitions=[cutoff]).filter(pl.col("version") == "candidate").collect()
    return rows if own else rows.clear()


class Compared(dg.Config):
    """Versions of a model, the one to measure against first; without names the newest against the live one, or the one before it."""

    model: str
    versions: list[int] = []  # noqa: RUF012  pydantic gives each instance its own


def compare(catalogue: Catalogue) -> dg.JobDefinition:
    """``compare``: versions of a model side by side, on one page. Changes nothing."""

    @dg.op(name="versions", description="Score versions on examples that are new to all of them.", out=dg.Out(dg.Nothing))
    def versions(context: dg.OpExecutionContext, config: Compared, registry: Registry, lake: Lake, reports: Reports) -> None:
        spec = next((model for model in catalogue.models if model.name == config.model), None)
        asked = config.versions or newest_and_rival(registry, config.model)
        if spec is None:
            raise NothingToCompare(model=config.model, asked=asked, known=0)
        found = sides(spec, registry, lake, asked, package=catalogue.package)
        name = "-".join(map(str, asked))
        write_whole(reports.file(config.model, "compared", name), comparison_page(config.model, found))
        lines = [f"- {one.name}: {kind}: {text}" for one in found[1:] for kind, text in changes(found[0].record, one.record)]
        context.log.info("\n".join(lines))
        page = dg.MetadataValue.url(reports.address(config.model, "compared", name))
        context.add_output_metadata({"page": page, "changed": dg.MetadataValue.md("\n".join(lines))})

    return dg.GraphDefinition(
        name="compare", node_defs=[versions], description="Versions of a model side by side: metrics, slices, cost, what changed."
    ).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed


def newest_and_rival(registry: Registry, model: str) -> list[int]:
    """What the newest version is measured against, then the newest: the live one, or the one before where the newest is live."""
    live = registry.ledger().live(model)
    known = [entry.version or 0 for entry in registry.ledger().entries(model) if entry.kind == "registered"]
    rivals = [live.version or 0] if live and live.version != known[-1] else known[-2:-1]
    return [*rivals, *known[-1:]]
