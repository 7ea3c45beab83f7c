"""Release to deployment: the project's one service answers with the versions that the ledger says are live."""

import dagster as dg
import polars as pl

from mlops_assets.keys import key
from mlops_assets.lifecycle.assets import Result, described, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.code import code_version, entry
from mlops_assets.lifecycle.tables import Answered
from mlops_assets.specs import Catalogue, ModelSpec
from mlops_assets.table import highest
from resources.registry.resource import Registry
from resources.registry.states import Entry
from resources.serving.controller import Serving
from resources.serving.routes import Route


def route(spec: ModelSpec, *, package: str) -> Route:
    """The route of a model: its entry point and the code behind it, as it is now."""
    return Route(model=spec.name, entry=entry(spec.score), package=package, code_hash=code_version(spec.score, package=package))


def served(catalogue: Catalogue) -> list[ModelSpec]:
    """The models that have a route."""
    return [spec for spec in catalogue.models if spec.serving is not None]


def service(catalogue: Catalogue, *, owner: str) -> dg.AssetsDefinition:
    """The running service of a project: started once, then it follows the ledger."""
    asset_key, contract = key("deployment", catalogue.project, "service"), contract_of(Answered)
    level = highest(spec.level for spec in catalogue.models)

    @dg.asset(
        **described(asset_key, owner=owner, level=level, kinds={"bentoml"}, cadence="on_release", contract=contract,
                    description=f"The BentoML service of {catalogue.project}: each live version was loaded and proved, and has answered."),
        deps=[key("release", spec.name, "live") for spec in served(catalogue)],
    )  # fmt: skip
    def answers(registry: Registry, serving: Serving) -> Result:
        live = [registry.ledger().live(spec.name) for spec in served(catalogue)]
        endpoint = serving.ensure([route(spec, package=catalogue.package) for spec in served(catalogue)], project=catalogue.project)
        rows = [smoke(serving, registry, one, url=endpoint.url) for one in live if one is not None]
        frame = pl.DataFrame(rows, schema={name: col.dtype for name, col in Answered.columns.items()})
        yield from result(asset_key, frame, contract, {"url": dg.MetadataValue.url(endpoint.url), "models": len(rows)})

    return answers


def smoke(serving: Serving, registry: Registry, live: Entry, *, url: str) -> dict[str, object]:
    """Wait until the service answers with the live version, then ask it one recorded example."""
    model, content_hash = live.subject, str(live.content_hash)
    serving.wait_for(model, content_hash)
    said = registry.load(live).signature["probe"]
    answer = serving.predict(model, said["examples"][:1])
    return {
        "model": model,
        "version": answer["version"],
        "content_hash": answer["content_hash"],
        "url": url,
        "prediction": answer["predictions"][0]["prediction"],
    }
