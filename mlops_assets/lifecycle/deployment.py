"""Release to deployment: the project's one service answers with the versions that the ledger says are live."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from mlops_assets.keys import key
from mlops_assets.lifecycle.assets import Result, asset, described, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.code import code_version, entry
from mlops_assets.lifecycle.tables import Answered
from mlops_assets.specs import Catalogue, ModelSpec
from mlops_assets.table import highest
from resources.errors import PlatformError
from resources.registry.resource import Registry
from resources.registry.states import FREEZE, Entry, Frozen, turned_on
from resources.serving.controller import NothingToResume, Serving
from resources.serving.endpoint import Endpoint
from resources.serving.routes import Route


class CodeEdited(PlatformError):
    """Live versions whose code is not the one that is here: a Bento of this code could not answer for them."""

    def __init__(self, edited: Sequence[tuple[Entry, str, Route]]) -> None:
        lines = [
            f"{one.subject}: version {one.version} was released with code {released[:12]}, {here.entry} is now {here.code_hash[:12]}."
            for one, released, here in edited
        ]
        names = ", ".join(one.subject for one, *_ in edited)
        super().__init__(
            "\n".join(lines) + f"\nNo new service replaces the one that answers; if none does, {names} waits and the other models answer. "
            f"Train and release {names} with the code as it is now, or bring that code back, and materialize the deployment again."
        )


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

    @asset(
        **described(asset_key, owner=owner, level=level, kinds={"bentoml"}, cadence="on_release", contract=contract,
                    description=f"The BentoML service of {catalogue.project}: each live version was loaded and proved, and has answered."),
        deps=[key("release", spec.name, "live") for spec in served(catalogue)],
    )  # fmt: skip
    def answers(registry: Registry, serving: Serving) -> Result:
        routes = {spec.name: route(spec, package=catalogue.package) for spec in served(catalogue)}
        if (frozen := turned_on(registry.ledger().entries(FREEZE), FREEZE)) is not None:
            endpoint = resumed(serving, frozen, project=catalogue.project)
        else:
            endpoint = rolled(serving, registry, routes, project=catalogue.project)
        rows = [smoke(serving, registry, one, url=endpoint.url) for one in live(registry, routes)]  # a version may have come meanwhile
        frame = pl.DataFrame(rows, schema={name: col.dtype for name, col in Answered.columns.items()})
        yield from result(asset_key, frame, contract, {"url": dg.MetadataValue.url(endpoint.url), "models": len(rows)})

    return answers


def rolled(serving: Serving, registry: Registry, routes: Mapping[str, Route], *, project: str) -> Endpoint:
    """The service of the code that is here, started or adopted.

    Raises:
        CodeEdited: it could not answer for what is live; what answers is left alone, and where nothing does, the other models are served.
    """
    differ = edited(live(registry, routes), routes, registry)
    if differ and serving.current() is not None:
        raise CodeEdited(differ)
    endpoint = serving.ensure(list(routes.values()), project=project)
    if differ:
        raise CodeEdited(differ)
    return endpoint


def resumed(serving: Serving, frozen: Entry, *, project: str) -> Endpoint:
    """In a freeze: a service that is down, started again as it was.

    Raises:
        Frozen: one answers, or none did before: there is nothing to start again, and nothing new is deployed.
    """
    if serving.current() is not None:
        raise Frozen(subject=project, by=frozen, undone="deployed")
    try:
        return serving.resume()
    except NothingToResume as problem:
        raise Frozen(subject=project, by=frozen, undone="deployed") from problem


def live(registry: Registry, models: Iterable[str]) -> list[Entry]:
    """The live version of each model that has one."""
    found = registry.ledger().live_of_all(datetime.now(UTC))
    return [one for name in models if (one := found.get(name)) is not None]


def edited(entries: Sequence[Entry], routes: Mapping[str, Route], registry: Registry) -> list[tuple[Entry, str, Route]]:
    """The live versions that were released with other code than is here, each with that code's hash and its route now."""
    released = [(one, str(registry.load(one).signature["code_hash"]), routes[one.subject]) for one in entries]
    return [(one, code, here) for one, code, here in released if code != here.code_hash]


def smoke(serving: Serving, registry: Registry, one: Entry, *, url: str) -> dict[str, object]:
    """Wait until the service answers with the live version, then ask it one recorded example."""
    model, content_hash = one.subject, str(one.content_hash)
    serving.wait_for(model, content_hash)
    said = registry.load(one).signature["probe"]
    answer = serving.predict(model, said["examples"][:1])
    return {
        "model": model,
        "version": answer["version"],
        "content_hash": answer["content_hash"],
        "url": url,
        "prediction": answer["predictions"][0]["prediction"],
    }
