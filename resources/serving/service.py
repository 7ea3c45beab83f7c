"""The BentoML service of one project: a route a model, packaged, supervised and documented by BentoML.

Runs only inside ``bentoml``, from the Bento's own copy of this file: in the builder and the supervisor, which need only its shape, and in
each worker, which alone imports the follower and the front.
"""

import logging
import os
from dataclasses import asdict
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


class ForeignCode(PlatformError):
    """Code that would be imported from outside the Bento."""

    def __init__(self, *, module: str, found: Path, root: Path) -> None:
        super().__init__(
            f"{module} would be imported from {found}, not from the Bento in {root}. Nothing is served, because the code could differ from "
            "the release's. Remove that folder from PYTHONPATH, or serve the Bento by its path."
        )


class BentoChanged(PlatformError):
    """A Bento whose code is not what it was built from."""

    def __init__(self, *, root: Path, entry: str) -> None:
        super().__init__(
            f"The code behind {entry} in the Bento {root} was changed after it was built. Nothing is served from it. "
            "Delete that Bento and materialize the deployment again."
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
    """What one process of a service holds: its declaration, its run, and in a worker the follower."""

    def __init__(self, declaration: Declaration, run: Endpoint | None, root: Path) -> None:
        self.declaration = declaration
        self.run = run
        self.root = root
        self._follower: Follower | None = None

    @property
    def follower(self) -> "Follower":
        """The follower of this worker, made at first use."""
        if self._follower is None:
            from resources.registry.ledger import Ledger
            from resources.registry.releases import Releases
            from resources.serving.worker import Follower

            found = self.run or self.declaration
            ledger, releases = Ledger(found.ledger_url), Releases(found.releases_root)
            worker = f"{self.run.run if self.run else 'stock'}/{os.getpid()}"
            self._follower = Follower(routes=self.declaration.routes, ledger=ledger, releases=releases, worker=worker)
        return self._follower

    def supervise(self) -> None:
        """In the supervisor, before it starts workers."""
        if self.run is not None:
            watch_holders(self.run)

    def begin(self) -> None:
        """In a worker, before it answers."""
        if self.run is not None:
            watch_supervisor(self.run.pid)
        different = differing((self.root / REQUIREMENTS).read_text())
        if different:
            LOGGER.warning("installed here is not what the lock says: %s", "; ".join(different))
            self.follower.report(self.declaration.project, "installed_differs", {"packages": different})
        self.follower.start()


def declare(path: Path) -> "Service[Any]":
    """The BentoML service for the declaration in ``path``; everything else happens when BentoML calls its hooks."""
    import bentoml

    record = handed_over(RUN_VARIABLE)
    host = Host(Declaration.read(path), Endpoint.read(Path(record)) if record else None, path.parent)
    own_code(host.declaration, host.root)
    project = host.declaration.project
    apis = {route.model: _twin(route.model, host) for route in host.declaration.routes}
    inner = type(project, (), {**apis, **_hooks(host), "__doc__": f"Models of {project}; GET /models says which versions answer."})
    quiet: dict[str, Any] = {"logging": {"access": {"enabled": False}}, "tracing": {"excluded_urls": ".*"}}
    service = bentoml.service(name=project, workers=1, traffic={"timeout": TIMEOUT_SECONDS}, **quiet)(inner)
    service.add_asgi_middleware(cast("Any", _front), host=host)
    return service


def own_code(declaration: Declaration, root: Path) -> None:
    """Raise unless everything would be imported from the Bento's own copy, and that copy is what the Bento says it is."""
    for module in (__name__, *(route.entry.partition(":")[0] for route in declaration.routes)):
        found = source(module).resolve()
        if not found.is_relative_to(root.resolve()):
            raise ForeignCode(module=module, found=found, root=root)
    for route in declaration.routes:
        if code_hash(route.entry, inside=route.package) != route.code_hash:
            raise BentoChanged(root=root, entry=route.entry)


def _front(app: Any, host: Host) -> Any:
    """The middleware that answers; made by the worker alone."""
    from resources.serving.front import Front

    return Front(app, follower=host.follower, run=host.run.run if host.run else None)


def _twin(model: str, host: Host) -> Any:
    import bentoml

    async def predict(self: object, examples: list[dict[str, Value]]) -> Predictions:
        del self
        return Predictions.model_validate(asdict(host.follower.answer(model, examples)))

    predict.__name__ = predict.__qualname__ = model
    predict.__doc__ = f"Predictions of {model} for examples, one object of feature: value each; GET /models says which features."
    return cast("Any", bentoml.api)(predict, route=f"/{model}/predict")


def _hooks(host: Host) -> dict[str, Any]:
    import bentoml

    def supervise() -> None:
        host.supervise()

    def begin(_: object) -> None:
        host.begin()

    def end(_: object) -> None:
        host.follower.stop()

    def ready(_: object) -> bool:
        return host.follower.settled

    hooks = {"begin": bentoml.on_startup(begin), "end": bentoml.on_shutdown(end), "__is_ready__": ready}
    return {"supervise": bentoml.on_deployment(supervise), **hooks}
