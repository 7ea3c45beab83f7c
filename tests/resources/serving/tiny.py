"""A tiny project to serve: its package written into a folder, and releases of its models in a real store and ledger."""

import importlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from resources.code import code_hash
from resources.registry.formats import as_loaded
from resources.registry.resource import Registry
from resources.serving import scoring
from resources.serving.routes import Route
from tests.resources.registry.records import whole

FRAME = pl.DataFrame({"x": [1.0, 2.5, None, -4.0], "k": ["a", "b", "a", None], "n": [1, 2, 3, 4]})
FEATURES = ("x", "k", "n")
SCORE = '''"""Scores."""

import polars as pl

from {package}.helper import OFFSET


def predict(parts, examples):
    """Weight times x, and an offset."""
    return examples["x"].fill_null(0.0) * parts["weights"]["x"] + (examples["k"] == "a").fill_null(False).cast(pl.Float64) + OFFSET


def boosted(parts, examples):
    """A LightGBM booster's answer."""
    return pl.Series(parts["booster"].predict(examples.select("x", "n").cast(pl.Float64).to_numpy(), num_threads=1))


def gradient(parts, examples):
    """An XGBoost booster's answer."""
    import xgboost

    return pl.Series(parts["model"].predict(xgboost.DMatrix(examples.select("x", "n").cast(pl.Float64).to_numpy()))).cast(pl.Float64)


def network(parts, examples):
    """An ONNX model's answer."""
    rows = examples.select("x", "n").fill_null(0.0).cast(pl.Float32).to_numpy()
    return pl.Series(parts["model"].run(None, dict(x=rows))[0]).cast(pl.Float64)


def estimator(parts, examples):
    """A scikit-learn estimator's answer."""
    return pl.Series(parts["model"].predict(examples.select("x", "n").fill_null(0.0).cast(pl.Float64).to_numpy()))
'''


class Tiny:
    """One project ``package`` below ``folder`` with models ``tiny`` and, on request, others; one ledger, one release store."""

    def __init__(self, folder: Path, package: str = "tinyco", *, releases_root: str = "") -> None:
        self.package = package
        self.source = folder / "source"
        self.registry = Registry(
            ledger_url=f"sqlite:///{folder}/ledger.db",
            releases_root=releases_root or str(folder / "releases"),
            keys_root=str(folder / "keys"),
            copies=str(folder / "copies"),
        )
        self.ledger, self.releases = self.registry.ledger(), self.registry.releases()
        self.write(offset=0.0)

    def write(self, *, offset: float, comment: str = "") -> None:
        """Write the project's modules; a new offset is new code, a comment is not."""
        package = self.source / self.package
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "helper.py").write_text(f'"""Helps."""\n\nOFFSET = {offset}  # {comment}\n')
        (package / "score.py").write_text(SCORE.format(package=self.package))
        for name in [name for name in sys.modules if name.split(".")[0] == self.package]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def entry(self, function: str = "predict") -> str:
        return f"{self.package}.score:{function}"

    def route(self, model: str = "tiny", function: str = "predict") -> Route:
        entry = self.entry(function)
        return Route(model=model, entry=entry, package=self.package, code_hash=code_hash(entry, inside=self.package))

    def store(self, parts: dict[str, Any], *, model: str = "tiny", function: str = "predict", **signed: object) -> str:
        """Write a release with the code as it is now."""
        route = self.route(model, function)
        signature = {
            "entry": route.entry,
            "code_hash": route.code_hash,
            "features": scoring.signature(FRAME, FEATURES, required=("n",)),
            "probe": scoring.probe(route.entry, as_loaded(model, parts), FRAME, FEATURES),
            **signed,
        }
        return self.releases.write(model, parts, whole({"model": model}), signature)

    def promote(self, content_hash: str, *, model: str = "tiny", after: timedelta | None = None) -> int:
        """Register a stored release if it is new, and make it live, at once or ``after`` a while."""
        now = datetime.now(UTC)
        registered = self.registry.register(model, content_hash, mlflow_run_id="none", actor="test", data_at=now)
        version = int(registered.version or 0)
        self.registry.promote(model, version, actor="test", data_at=now, activate_at=now + after if after else None)
        return version

    def release(self, weight: float, *, model: str = "tiny", after: timedelta | None = None) -> str:
        """Store and promote a linear model."""
        content_hash = self.store({"weights": {"x": weight}}, model=model)
        self.promote(content_hash, model=model, after=after)
        return content_hash
