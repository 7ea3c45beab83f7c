"""The BentoML service of one project: a route a model, packaged, supervised and documented by BentoML.

Runs only inside ``bentoml``, from the Bento's own copy of this file: in the builder and the supervisor, which need only its shape, and in
each worker, which alone imports the follower and the front.
"""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel

from resources.code import code_hash, source
from resources.errors import PlatformError
from resources.serving.endpoint import RUN_VARIABLE, Endpoint
from resources.serving.guard import watch_holders, watch_supervisor
from resources.serving.lock import differing
from resources.serving.routes import REQUIREMENTS, Declaration
from resources.settings import handed_over

if TYPE_CHECKING:
    from bentoml import Service

    from resources.serving.worker import Follower

LOGGER: Final = logging.getLogger("resources.serving.service")
TIMEOUT_SECONDS: Final = 60
Value = str | float | int | bool | None


class NotTheBentosCode(PlatformError):
    """Code that would not be what the Bento was built from."""

    def __init__(self, *, what: str, root: Path) -> None:
        super().__init__(
            f"{what}, so nothing is served: the code could differ from the release's. Remove foreign folders from PYTHONPATH, or delete "
            f"the Bento {root} and materialize the deployment again."
        )


class Prediction(BaseModel):
    """One answer; the same version and the same example give the same id."""

    prediction_id: str
    prediction: float


class Predictions(BaseModel):
    """Answers, in the order of the examples, and exactly which version made them."""

    model: str
    version: int
    content_hash: str
    predictions: list[Prediction]


class Host:
    """What one process of a service holds: its declaration, its run (none when started by hand), and in a worker the follower."""

    def __init__(self, path: Path) -> None:
        record = handed_over(RUN_VARIABLE)
        self.declaration = Declaration.read(path)
        self.run = Endpoint.read(Path(record)) if record else None

    @cached_property
    def follower(self) -> "Follower":
        """The follower of this worker, made at first use."""
        from resources.registry.ledger import Ledger
        from resources.registry.releases import Releases
        from resources.security.keys import ring_for
        from resources.serving.worker import Follower

        said, worker = self.declaration, f"{self.run.run if self.run else 'stock'}/{os.getpid()}"
        heads, release = (ring_for(one, keys_root=said.keys_root, releases_root=said.releases_root) for one in ("ledger", "release"))
        copies = Path(self.run.home) / "copies" if self.run else None
        ledger, releases = Ledger(said.ledger_url, heads), Releases(said.releases_root, release, copies=copies)
        return Follower(routes=said.routes, ledger=ledger, releases=releases, worker=worker)


def declare(path: Path) -> "Service[Any]":
    """The BentoML service for the declaration in ``path``; everything else happens when BentoML calls its hooks."""
    import bentoml

    host = Host(path)
    own_code(host.declaration, path.parent)
    project = host.declaration.project

    class Hooks:
        @bentoml.on_deployment
        def supervise() -> None:  # in the supervisor, before it starts workers
            if host.run is not None:
                watch_holders(host.run)

        @bentoml.on_startup
        def begin(self) -> None:  # in a worker, before it answers
            if host.run is not None:
                watch_supervisor(host.run.pid)
            if different := differing(path.with_name(REQUIREMENTS).read_text()):
                LOGGER.warning("installed here is not what the lock says: %s", "; ".join(different))
                host.follower.report(project, "installed_differs", {"packages": different})
            host.follower.start()

        @bentoml.on_shutdown
        def end(self) -> None:
            host.follower.stop()

        def __is_ready__(self) -> bool:
            return host.follower.settled

    apis = {route.model: _twin(route.model, host) for route in host.declaration.routes}
    inner = type(project, (Hooks,), {**apis, "__doc__": f"Models of {project}; GET /models says which versions answer."})
    quiet: dict[str, Any] = {"logging": {"access": {"enabled": False}}, "tracing": {"excluded_urls": ".*"}}
    service = bentoml.service(name=project, workers=1, traffic={"timeout": TIMEOUT_SECONDS}, **quiet)(inner)
    service.add_asgi_middleware(cast("Any", _front), host=host)
    return service


def own_code(declaration: Declaration, root: Path) -> None:
    """Raise unless everything would be imported from the Bento's own copy, and that copy is what the Bento says it is."""
    for module in (__name__, *(route.entry.partition(":")[0] for route in declaration.routes)):
        found = source(module).resolve()
        if not found.is_relative_to(root.resolve()):
            raise NotTheBentosCode(what=f"{module} would be imported from {found}, not from the Bento in {root}", root=root)
    for route in declaration.routes:
        if code_hash(route.entry, inside=route.package) != route.code_hash:
            raise NotTheBentosCode(what=f"The code behind {route.entry} was changed after the Bento was built", root=root)


def _front(app: Any, host: Host) -> Any:
    """The middleware that answers; made by the worker alone."""
    from resources.serving.front import Front

    return Front(app, follower=host.follower, run=host.run.run if host.run else None)


def _twin(model: str, host: Host) -> Any:
    import bentoml

    async def predict(self: object, examples: list[dict[str, Value]]) -> Predictions:
        del self
        return Predictions.model_validate(host.follower.answer(model, examples))

    predict.__name__ = predict.__qualname__ = model
    predict.__doc__ = f"Predictions of {model} for examples, one object of feature: value each; GET /models says which features."
    return cast("Any", bentoml.api)(predict, route=f"/{model}/predict")
