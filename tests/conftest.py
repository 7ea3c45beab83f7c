"""What all tests share: an environment without settings, a home and a data clock of their own; and the rule that no test is left out."""

import os
import socket
from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from resources.clock import DataClock
from resources.settings import PREFIX, be_quiet

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure() -> None:
    """No library may report home from a test."""
    be_quiet()


TOGETHER: Final = ("tests/journeys/year/",)
LONG: Final = ("tests/journeys/", "tests/docs/", "tests/integration/")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Processes share the tests by file, and by folder where a folder shares what takes long to make."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin first."""
    items.sort(key=lambda item: not item.location[0].startswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped or expected failure is a failure."""
    report = yield
    return _refused(report, item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So is a whole file that leaves itself out."""
    report = yield
    return _refused(report, collector.nodeid)


def _refused(report: Report, node: str) -> Report:
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{node} was left out. A test runs or is deleted: install what it needs (deploy/embedded/servers.sh)."
    return report


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says what its environment is; nothing of the shell that started it counts."""
    for name in [name for name in os.environ if name.startswith(PREFIX) or name == "DAGSTER_HOME"]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for all state; this process and its children find it as ``MLOPS_HOME``."""
    folder = tmp_path / "home"
    monkeypatch.setenv(f"{PREFIX}HOME", str(folder))
    return folder


@pytest.fixture
def clock(home: Path) -> DataClock:
    """The data clock of that home, at the end of January 2013 in New York."""
    data_clock = DataClock(path=str(home / "clock.json"))
    data_clock.advance(datetime(2013, 2, 1, 5, tzinfo=UTC))
    return data_clock


@pytest.fixture
def ports() -> str:
    """Four free ports, as ``MLOPS_UI_PORTS`` writes them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return ",".join(str(one.getsockname()[1]) for one in sockets)
