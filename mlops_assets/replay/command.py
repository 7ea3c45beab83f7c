"""The command: replay the archive of a project, or show the result of a replay that is done."""

import argparse
import gc
import importlib
import logging
import os
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Final

import dagster as dg
from filelock import FileLock, Timeout

from mlops_assets.specs import Catalogue
from mlops_assets.table import DeclarationError
from resources.errors import PlatformError
from resources.profiles import select
from resources.settings import Settings, be_quiet, hold_service

INSTANCE: Final = Path(__file__).with_name("dagster.yaml")
SELDOM: Final = (100_000, 20, 50)
"""Garbage collection: at Python's own thresholds it searches Dagster's many small objects for a tenth of a replay's time."""


class FolderHeld(PlatformError):
    """Another replay works in the folder."""

    def __init__(self, home: Path, holder: str) -> None:
        super().__init__(
            f"{home} is held by another replay ({holder}), so this one did not start. "
            "Wait for it, stop it, or set MLOPS_HOME to another folder."
        )


class NoCatalogue(PlatformError):
    """What ``--catalogue`` names is none."""

    def __init__(self, said: str, why: object) -> None:
        super().__init__(f"--catalogue {said} is no catalogue: {why}. Nothing was started. Name one as `package.catalogue:CATALOGUE`.")


class HomeUnusable(PlatformError):
    """A folder that cannot be made or written."""

    def __init__(self, home: Path, problem: OSError) -> None:
        super().__init__(
            f"{home} cannot hold a replay ({problem.strerror or problem}), so nothing was started. "
            "Give write permission there, or set MLOPS_HOME to another folder."
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the replay is complete, 1 with one clear sentence otherwise."""
    options = _parser().parse_args(arguments)
    be_quiet()
    hold_service()
    gc.set_threshold(*SELDOM)
    warnings.filterwarnings("ignore", "coroutine 'BaseEventLoop.shutdown_asyncgens' was never awaited")  # Dagster closing a loop of its own
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        _replay(options)
    except PlatformError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def _replay(options: argparse.Namespace) -> None:
    catalogue, home = _catalogue(options.catalogue), Settings.from_environment().home
    lock = FileLock(home / "replay.lock")
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderHeld(home, (home / "replay.holder").read_text().strip()) from None
    except OSError as problem:
        raise HomeUnusable(home, problem) from problem
    with lock:
        (home / "replay.holder").write_text(f"process {os.getpid()} since {time.strftime('%H:%M:%S')}")
        _run(catalogue, options, home)


def _catalogue(said: str) -> Catalogue:
    module, _, name = said.partition(":")
    try:
        found = getattr(importlib.import_module(module), name or "CATALOGUE")
    except (ImportError, AttributeError, SyntaxError, ValueError, DeclarationError) as problem:
        raise NoCatalogue(said, problem) from problem
    if not isinstance(found, Catalogue):
        raise NoCatalogue(said, f"it is a {type(found).__name__}")
    return found


def _run(catalogue: Catalogue, options: argparse.Namespace, home: Path) -> None:
    from mlops_assets.lifecycle.deployment import route, served
    from mlops_assets.replay import summary
    from mlops_assets.replay.daemon import opened
    from mlops_assets.replay.months import Replay, finished, months_of_archive
    from mlops_assets.replay.progress import Progress

    months, folder = months_of_archive(catalogue, until=options.until), _instance(home)
    resources = select(Settings.from_environment(), project=catalogue.project)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        if finished(instance, catalogue, months[-1]):
            print(f"The replay up to {months[-1]} is complete in {home}; this is its result.\n")
            print(summary.story(instance, catalogue, resources, months, home=home))
            return
    terminal = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")  # while a step runs, stdout is its log
    progress = Progress(out=terminal, months=len(months))
    progress.say(f"{catalogue.project} {months[0]} to {months[-1]} · {', '.join(spec.name for spec in catalogue.models)} · home {home}")
    with opened(folder, module=options.definitions, made=progress.made) as daemon:
        try:
            if routes := [route(spec, package=catalogue.package) for spec in served(catalogue)]:
                resources.serving.start(routes, catalogue.project)  # its imports take as long as the first months; it waits for a release
            Replay(catalogue=catalogue, inbox=resources.inbox, daemon=daemon, progress=progress).run(months)
        finally:
            resources.serving.stop()
        print(f"\n{summary.story(daemon.instance, catalogue, resources, months, home=home)}")


def _instance(home: Path) -> Path:
    """The Dagster home, with its settings file."""
    folder = home / "dagster"
    folder.mkdir(exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(INSTANCE, folder / "dagster.yaml")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.replay", description="Replay a project's archive with real ticks.")
    parser.add_argument(
        "--definitions", default="mlops_assets.definitions", help="module of the Dagster definitions (default: %(default)s)"
    )
    parser.add_argument(
        "--catalogue", default="mlops_assets.flights.catalogue:CATALOGUE", help="where the catalogue is (default: %(default)s)"
    )
    parser.add_argument("--until", help="last month to replay, YYYY-MM (default: all)")
    return parser
