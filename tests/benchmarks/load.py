"""What it costs to load a code location, and what two hundred models cost: to load, and in a tick that finds nothing new.

Run it with `python -m tests.benchmarks.load`; it takes about three minutes and closes with one line a figure. Each measurement is a process
of its own; the figure is the median. Dagster is imported by the functions that use it: `many` imports this module and is measured.
"""

import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from unittest import mock

from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.specs import Catalogue
from resources.settings import Settings, child_environment

if TYPE_CHECKING:
    from mlops_assets.replay.daemon import Daemon
    from resources.registry.ledger import Ledger

ROOT: Final = Path(__file__).parents[2]
MODELS: Final = 200
TIMES: Final = 5
PROJECTS: Final = ("empty_project", "mlops_assets.definitions", "tests.benchmarks.many")
EMPTY: Final = """
import dagster as dg

@dg.asset
def one():
    return 1

defs = dg.Definitions(assets=[one])
"""


def many(models: int = MODELS) -> Catalogue:
    """The flights' catalogue with so many models, each of its own name."""
    spec = CATALOGUE.models[0]
    return replace(CATALOGUE, models=tuple(replace(spec, name=f"{spec.name}_{number:03}") for number in range(models)))


def a_year(daemon: "Daemon", catalogue: Catalogue) -> None:
    """What a year of the catalogue leaves behind, without its work: every month of every asset, a live version a model and month."""
    import dagster as dg

    from mlops_assets.jobs import score_keys, train_keys
    from mlops_assets.keys import key, table
    from mlops_assets.partitions import months_of
    from mlops_assets.replay.months import months_of_archive
    from resources.profiles import select

    months, models = months_of_archive(catalogue), catalogue.models
    views = [(table(view.address, stage="feature"), view.source.partitions) for view in catalogue.views]
    shared = [*((table(spec.table), spec.partitions) for spec in catalogue.sources), *views]
    monthly = [one for one, partitions in shared if partitions] + [table(view.address, stage="online") for view in catalogue.views]
    monthly += [one for spec in models for one in (*train_keys(spec)[:-1], *score_keys(spec))]
    whole = [one for one, partitions in shared if not partitions] + [key("feature", catalogue.project, "registry")]
    whole += [train_keys(spec)[-1] for spec in models]
    daemon.instance.add_dynamic_partitions(str(months_of(catalogue.project).name), months)
    for asset_key, month in [(one, None) for one in whole] + [(one, month) for month in months for one in monthly]:
        daemon.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key, partition=month, metadata={"performance": "ok"}))
    ledger = select(Settings.from_environment(), project=catalogue.project).registry.ledger()
    for spec in models:
        _released(ledger, spec.name, catalogue, months[spec.train_on.at_least - 1 :])


def _released(ledger: "Ledger", model: str, catalogue: Catalogue, months: list[str]) -> None:
    from mlops_assets.partitions import calendar_of, end_of

    head = None
    for version, month in enumerate(months, start=1):
        name, data_at = sha256(f"{model} {month}".encode()).hexdigest(), end_of(month, calendar_of(catalogue))
        for kind in ("registered", "approved", "promoted"):
            said = {"content_hash": name, "version": version, "manifest_hash": name, "mlflow_run_id": name[:32]}
            head = ledger.append(model, kind, said, expect_head=head, actor="gate", data_at=data_at).hash


def baseline(daemon: "Daemon", catalogue: Catalogue) -> None:
    """The first look of every sensor and condition; the deployment that it asks for is not executed."""
    from mlops_assets.replay.daemon import ToldLauncher

    with mock.patch.object(ToldLauncher, "launch_run"):
        daemon.round(_next(daemon, catalogue))
    for run in daemon.instance.get_runs():
        daemon.instance.report_run_canceled(run)


def quiet(daemon: "Daemon", catalogue: Catalogue) -> float:
    """CPU seconds of one look of every sensor and condition that finds nothing new."""
    now, began = _next(daemon, catalogue), time.process_time()
    started = daemon.round(now)
    spent = time.process_time() - began
    if started:
        raise SystemExit(f"The tick started {started} runs, so it was no quiet one and there is nothing to measure.")
    return spent


def _next(daemon: "Daemon", catalogue: Catalogue) -> datetime:
    from mlops_assets.partitions import calendar_of, end_of
    from mlops_assets.replay.months import ROUND, months_of_archive

    return (daemon.last_tick() or end_of(months_of_archive(catalogue)[-1], calendar_of(catalogue))) + ROUND


@contextlib.contextmanager
def watched(module: str, *, kept: bool) -> Generator["Daemon"]:
    """A daemon on this process's home; not ``kept``, it opens its storage for every question, as Dagster's own does."""
    from mlops_assets.replay import daemon

    folder = Settings.from_environment().home / "dagster"
    if not folder.exists():
        folder.mkdir(parents=True)
        shutil.copyfile(str(files("mlops_assets.replay") / "dagster.yaml"), folder / "dagster.yaml")
    storage = contextlib.nullcontext() if kept else mock.patch.object(daemon, "kept_open", contextlib.nullcontext)
    with storage, daemon.opened(folder, module=module) as found:
        yield found


def spent(folder: Path, *arguments: str) -> tuple[float, str]:
    """CPU seconds of a Python process and its children, and what it printed; bytecode is kept in ``folder``, whatever the shell says."""
    places = {"PYTHONPATH": f"{folder}:{ROOT}", "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "MLOPS_HOME": str(folder / "home")}
    environment = child_environment(**places, PYTHONDONTWRITEBYTECODE="", PYTHONWARNINGS="ignore")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([sys.executable, *arguments], env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def loads(folder: Path) -> dict[str, list[float]]:
    """CPU seconds of loading each project: up to its repository in a bare process, and by Dagster's own command with its code server."""
    (folder / "empty_project.py").write_text(EMPTY)
    found: dict[str, list[tuple[float, float]]] = {module: [] for module in PROJECTS}
    for _ in range(TIMES + 1):
        for module, seen in found.items():
            code = f"import time, {module} as project; project.defs.get_repository_def(); print(time.process_time())"
            stock, _ = spent(folder, "-m", "dagster", "definitions", "validate", "-m", module, "--log-level", "error")
            seen.append((float(spent(folder, "-c", code)[1]), stock))
    return {name: [median(column) for column in zip(*seen[1:], strict=True)] for name, seen in found.items()}  # the first one compiles


def ticks(folder: Path) -> dict[str, list[float]]:
    """CPU seconds of the first tick of a daemon and of the next, both with nothing new, by how the storage is opened."""
    spent(folder, "-m", "tests.benchmarks.load", "year")
    found: dict[str, list[float]] = {}
    for how in ("kept", "stock"):
        runs = [[float(one) for one in spent(folder, "-m", "tests.benchmarks.load", how)[1].split()] for _ in range(TIMES)]
        found[how] = [median(column) for column in zip(*runs, strict=True)]
    return found


def main() -> None:
    """Measure each, then the figures."""
    with tempfile.TemporaryDirectory() as name:
        cost, tick = loads(Path(name)), ticks(Path(name))
    print(f"\n{'CPU s to load':<28}{'bare':>8}{'dagster definitions validate':>32}")
    for module, (bare, stock) in cost.items():
        print(f"{module:<28}{bare:8.2f}{stock:32.2f}")
    print(f"\n{'CPU s of a quiet tick':<28}{'first':>8}{'next':>8}")
    for how, (first, following) in tick.items():
        print(f"{how:<28}{first:8.2f}{following:8.2f}")
    (bare, stock), (our_bare, our_stock), (_, most) = cost.values()
    print(f"\nfigure bare_load_to_empty = {our_bare / bare:.2f} x CPU (goal <= 1.3)")
    print(f"figure load_to_empty = {our_stock / stock:.2f} x CPU (goal <= 1.3)")
    print(f"figure load_200_models = {most:.1f} s CPU (goal <= 6)")
    print(f"figure tick_200_models = {tick['stock'][1]:.2f} s CPU (goal <= 2)")


def child(what: str) -> None:
    """In a process of its own: leave a year behind, or print what two quiet ticks cost."""
    catalogue = many()
    with watched("tests.benchmarks.many", kept=what != "stock") as daemon:
        if what == "year":
            a_year(daemon, catalogue)
            baseline(daemon, catalogue)
        else:
            print(quiet(daemon, catalogue), quiet(daemon, catalogue))


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:] else main()
