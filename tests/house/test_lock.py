"""The locks: hashed, naming no host, in step with pyproject.toml, with each other and with the environment that runs this test."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.sources import PACKAGES, ROOT, imported, locked, modules

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]
LOCKED_EXTRAS: Final = ("serve", "k8s", "formats", "dev")
EITHER: Final = pytest.mark.parametrize("lock", ["requirements.lock", "requirements-serve.lock"])


def names(requirements: list[str]) -> dict[str, Requirement]:
    return {str(canonicalize_name(one.name)): one for one in map(Requirement, requirements)}


@EITHER
def test_a_lock_names_no_host(lock: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|\bfile:| @ ", (ROOT / lock).read_text())


@EITHER
def test_every_pin_is_exact_and_hashed(lock: str) -> None:
    loose = [
        line[:60]
        for one, line in locked(lock).items()
        if not str(one.specifier).startswith("==") or not re.search(r"--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert loose == []


def test_the_serving_lock_is_part_of_the_whole_one_and_a_small_part() -> None:
    whole = {(one.name, str(one.specifier)) for one in locked("requirements.lock")}
    served = {(one.name, str(one.specifier)) for one in locked("requirements-serve.lock")}
    assert served <= whole
    assert not {name for name, _ in served} & {"dagster", "feast", "mlflow", "evidently", "pandera", "pandas", "scikit-learn"}


def test_the_lock_holds_every_declared_dependency_within_its_bounds() -> None:
    declared = names([*PROJECT["dependencies"], *(one for extra in LOCKED_EXTRAS for one in EXTRAS[extra])])
    pinned = {str(canonicalize_name(one.name)): str(one.specifier).removeprefix("==") for one in locked("requirements.lock")}
    assert {name for name, one in declared.items() if name not in pinned or not one.specifier.contains(pinned[name])} == set()


def test_the_serving_lock_holds_every_serving_dependency() -> None:
    assert set(names(EXTRAS["serve"])) <= {canonicalize_name(one.name) for one in locked("requirements-serve.lock")}


def test_this_environment_is_the_lock() -> None:
    wrong: list[str] = []
    for one in (one for one in locked("requirements.lock") if one.marker is None or one.marker.evaluate()):
        try:
            installed = version(one.name)
        except PackageNotFoundError:
            installed = "nothing"
        if installed == "nothing" or not one.specifier.contains(installed, prereleases=True):
            wrong.append(f"{one.name}: {installed}, the lock wants {one.specifier}")
    assert wrong == []


def test_what_the_product_imports_is_declared() -> None:
    providers = packages_distributions()
    used = {name.split(".")[0] for path in modules().values() for name in imported(path)} - set(sys.stdlib_module_names) - set(PACKAGES)
    declared = set(names([*PROJECT["dependencies"], *EXTRAS["k8s"]]))
    assert {name for name in used if not {canonicalize_name(one) for one in providers.get(name, [])} & declared} == set()
