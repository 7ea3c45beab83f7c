"""Who may import whom, and what a process that only loads the definitions never pays for."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any, Final

from packaging.utils import canonicalize_name

from tests.house.sources import PACKAGES, ROOT, locked, modules

HEAVY: Final = ("bentoml", "cryptography", "evidently", "feast", "jwt", "lightgbm", "matplotlib", "mlflow", "pandas", "skops", "sklearn")
SERVING: Final = (
    "resources.serving.worker",
    "resources.serving.scoring",
    "resources.registry.ledger",
    "resources.registry.releases",
    "resources.code",
)
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def loaded_by(statement: str, *suspects: str) -> list[str]:
    """Which of the suspects a clean interpreter has in memory after a statement."""
    code = f"import sys; {statement}; print(*[name for name in {suspects!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split()


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    assert loaded_by("import mlops_assets.definitions", *HEAVY) == []


def test_the_imports_that_are_banned_at_module_level_are_the_heavy_ones() -> None:
    assert PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"] == list(HEAVY)


def test_the_serving_process_needs_nothing_beyond_its_own_lock() -> None:
    served = {canonicalize_name(one.name) for one in locked("requirements-serve.lock")}
    providers = packages_distributions()
    beyond = [name for name, by in providers.items() if name not in PACKAGES and not {canonicalize_name(one) for one in by} & served]
    code = f"import sys; sys.modules.update(dict.fromkeys({beyond!r})); import {', '.join(SERVING)}"
    assert {"dagster", "feast", "mlflow", "pandas", "sklearn"} <= set(beyond)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_import_contract_is_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_the_platform_has_its_layer() -> None:
    layers = " ".join(PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]).replace(":", " ").split()
    top = {".".join(name.split(".")[:2]) for name in modules("mlops_assets")} - {"mlops_assets"}
    assert top <= set(layers)
