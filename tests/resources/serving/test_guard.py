"""A service that nobody wants ends itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from resources.serving import guard
from resources.serving.endpoint import CURRENT, HOLDERS, NEXT, Endpoint, held, hold, running, start_time

ROOT = Path(__file__).parents[3]


def endpoint(home: Path, run: str = "r1") -> Endpoint:
    started = start_time(os.getpid())
    assert started is not None
    return Endpoint(run=run, url="http://x", pid=os.getpid(), started=started, project="p", bento="p:1", home=str(home))


def test_a_record_survives_its_file_and_a_torn_one_is_none(tmp_path: Path) -> None:
    one = endpoint(tmp_path)
    one.write(tmp_path / CURRENT)
    assert Endpoint.read(tmp_path / CURRENT) == one
    assert one.alive
    for torn in ("", "{", "{}", "[]", '{"run": 1, "more": 2}'):
        (tmp_path / CURRENT).write_text(torn)
        assert Endpoint.read(tmp_path / CURRENT) is None
    assert Endpoint.read(tmp_path / "none.json") is None


def test_a_process_is_known_by_its_start_and_a_zombie_is_no_process() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert (running(os.getpid(), started), running(os.getpid(), started - 60)) == (True, False)
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)
    assert start_time(child.pid) is None
    child.wait()


def test_a_service_is_held_by_living_processes_only(tmp_path: Path) -> None:
    assert not held(tmp_path)
    hold(tmp_path)
    assert held(tmp_path)
    (tmp_path / HOLDERS / f"{os.getpid()}@{start_time(os.getpid())}").unlink()
    assert not held(tmp_path)
    (tmp_path / HOLDERS / f"{os.getpid()}@1.0").touch()  # somebody who had this pid before
    (tmp_path / HOLDERS / "12345678@1.0").touch()
    (tmp_path / HOLDERS / "stray").touch()
    assert not held(tmp_path)
    hold(tmp_path, detached=True)
    assert held(tmp_path)


def test_a_service_is_wanted_while_it_is_held_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DRAIN_SECONDS", 0.2)
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.05)
    one = endpoint(tmp_path)
    assert guard.unwanted(one) == "no process holds it"
    hold(tmp_path)
    one.write(tmp_path / NEXT)
    assert guard.unwanted(one) is None
    (tmp_path / NEXT).rename(tmp_path / CURRENT)
    assert guard.unwanted(one) is None
    endpoint(tmp_path, "r2").write(tmp_path / CURRENT)
    began = time.monotonic()
    assert guard.unwanted(one) == "another service took its place"
    assert time.monotonic() - began >= 0.2


def test_a_draining_service_that_is_no_longer_held_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(tmp_path, "r2").write(tmp_path / CURRENT)
    answers = [True, False]

    def held(_: Path) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(guard, "held", held)
    assert guard.unwanted(endpoint(tmp_path)) == "no process holds it"


def test_a_worker_ends_with_its_supervisor() -> None:
    worker = (
        "import os, time; from resources.serving.guard import watch_supervisor; watch_supervisor(os.getppid());"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    line = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    supervisor = subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    deadline = time.monotonic() + 10
    while start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert start_time(pid) is None


def test_a_supervisor_that_will_not_stop_is_killed_with_its_children() -> None:
    line = (
        "import signal, subprocess, sys; from resources.serving import guard; guard.STOP_SECONDS = .3;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); guard.stop_tree()"
    )
    with subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True, cwd=ROOT) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert supervisor.wait(10) == 1
    time.sleep(0.2)
    assert start_time(child) is None
