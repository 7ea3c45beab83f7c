"""A small project with a whole life in half a minute: a folder of its own, its replay, and what that left behind."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psutil

from resources.profiles import Resources, embedded
from resources.settings import Settings, child_environment

SOURCE: Final = Path(__file__).with_name("tiny_project")
ROOT: Final = Path(__file__).parents[2]
MODELS: Final = ("late", "wait")
LAST: Final = "2020-02"
OWN: Final = ("model/", "deployment/")
"""Tables with a run id, a duration or a port in them: they differ from home to home."""


class Kiosk:
    """The project's source and one home."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.source = folder / "source"
        self.home = folder / "home"
        self.environment = environment
        shutil.copytree(SOURCE, self.source, ignore=shutil.ignore_patterns("__pycache__"))

    def environ(self) -> dict[str, str]:
        """What a process of this project starts with."""
        path = f"{ROOT}{os.pathsep}{self.source}"
        return child_environment(
            PYTHONPATH=path,
            MLOPS_HOME=str(self.home),
            DAGSTER_HOME=str(self.home / "dagster"),
            PYTHONDONTWRITEBYTECODE="1",
            **self.environment,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a Python process of this project; the test waits for it."""
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, *command], env=self.environ(), stdout=pipe, stderr=pipe, text=True, cwd=self.source)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a Python process of this project to its end."""
        return subprocess.run(
            [sys.executable, *command], env=self.environ(), capture_output=True, text=True, check=False, timeout=300, cwd=self.source
        )

    def replay(self, *, until: str = LAST) -> subprocess.CompletedProcess[str]:
        """Replay the project's archive."""
        return self.run("-m", "mlops_assets.replay", *replay_arguments(until))

    def world(self) -> Resources:
        """The resources of the home."""
        return embedded(Settings(home=self.home), "kiosk")

    def processes(self) -> list[str]:
        """Command lines of processes that know this home."""
        lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        return [line for line in lines if str(self.home) in line]


def replay_arguments(until: str = LAST) -> list[str]:
    """What the replay command is told."""
    return ["--definitions", "kiosk.definitions", "--catalogue", "kiosk.catalogue:CATALOGUE", "--until", until]


def digests(kiosk: Kiosk) -> dict[str, dict[str, str]]:
    """The content of every table of the lake, by address and month."""
    lake, root = kiosk.world().lake, kiosk.home / "lake"
    found = {str(log.parent.relative_to(root)) for log in root.rglob("_delta_log")}
    return {address: dict(lake.digests(address)) for address in sorted(found) if not address.startswith(OWN)}


def rows(kiosk: Kiosk) -> dict[str, int]:
    """How many rows every table of the lake has."""
    lake, root = kiosk.world().lake, kiosk.home / "lake"
    found = {str(log.parent.relative_to(root)) for log in root.rglob("_delta_log")}
    return {address: lake.read(address).collect().height for address in sorted(found)}


def ledger(kiosk: Kiosk) -> list[tuple[Any, ...]]:
    """What the ledger says, less wall-clock times; its chain is verified first."""
    book = kiosk.world().registry.ledger()
    entries = book.entries()
    assert book.verify() == len(entries)
    return sorted((one.subject, one.kind, one.version, one.content_hash, str(one.data_at)) for one in entries)


def mlflow(kiosk: Kiosk) -> dict[str, Any]:
    """MLflow's runs by name, each with its status, and the registered versions with their aliases."""
    client = kiosk.world().tracking.client()
    experiments = [client.get_experiment_by_name(name) for name in MODELS]
    found = client.search_runs([one.experiment_id for one in experiments if one is not None])
    runs = Counter((str(run.info.run_name), str(run.info.status)) for run in found)
    versions = sorted((one.name, int(one.version), one.tags["content_hash"]) for one in client.search_model_versions())
    live = {name: client.get_model_version_by_alias(name, "production").version for name in MODELS}
    return {"runs": dict(runs), "versions": versions, "live": live}


def made(kiosk: Kiosk) -> Counter[tuple[str, str]]:
    """How often each partition of each asset was materialized."""
    with dg.DagsterInstance.from_config(str(kiosk.home / "dagster")) as instance:
        keys = instance.get_asset_keys()
        found = [instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=1000).records for key in keys]
        return Counter(("/".join(one.asset_key.path), one.partition_key or "") for records in found for one in records if one.asset_key)


def cut_off(kiosk: Kiosk) -> set[tuple[str, str]]:
    """The partitions of assets that a run made in a step which it did not live to finish."""
    with dg.DagsterInstance.from_config(str(kiosk.home / "dagster")) as instance:
        found: set[tuple[str, str]] = set()
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
            said = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event is not None]
            finished = {event.step_key for event in said if event.is_step_success}
            unfinished = [event for event in said if event.is_step_materialization and event.step_key not in finished]
            found |= {("/".join(event.asset_key.path), event.partition or "") for event in unfinished if event.asset_key}
    return found


def runs(kiosk: Kiosk) -> Counter[tuple[str, str, str]]:
    """The runs of the home: status, job or first asset, month."""
    with dg.DagsterInstance.from_config(str(kiosk.home / "dagster")) as instance:
        return Counter(
            (
                run.status.value,
                min(("/".join(key.path) for key in run.asset_selection or ()), default=run.job_name),
                run.tags.get("dagster/partition", ""),
            )
            for run in instance.get_runs()
        )
