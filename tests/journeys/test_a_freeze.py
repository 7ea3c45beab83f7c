"""A freeze, by hand and on stock Dagster: nothing is trained or deployed, and a service that went down comes back as it was.

Tests run in order.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.serving.endpoint import Endpoint
from tests.journeys.tiny import LAST, Kiosk, digests, mlflow

WHY = "the lake is being restored"
UNFREEZE = "python -m mlops_assets.operate unfreeze --why '...' (job unfreeze_platform)"
OLD, NEW = "SHARE: Final = 1.0", "SHARE: Final = 0.5"


class Night(Kiosk):
    """A home after its replay, and what somebody does to it by hand."""

    def operate(self, *arguments: str) -> str:
        """What a command on call prints."""
        done = self.run("-m", "mlops_assets.operate", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def materialize(self, select: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Materialize assets as a person on a shell does."""
        return self.run("-m", "dagster", "asset", "materialize", "-m", "kiosk.definitions", "--select", select, *more)

    def refused(self, select: str, *more: str) -> str:
        """What a run that must fail says."""
        done = self.materialize(select, *more)
        assert done.returncode != 0
        return done.stdout + done.stderr

    def typed(self) -> None:
        """The line that ``status`` prints for a service that does not answer, typed in a shell."""
        command = "python -m dagster job execute -m kiosk.definitions -j deploy_kiosk"
        (line,) = [one.partition("-> ")[2] for one in self.operate("status").splitlines() if one.endswith(command)]
        self.shell(line)

    def to_run_again(self) -> list[str]:
        """The lines that the job ``status`` prints about failed runs."""
        done = self.run("-m", "dagster", "job", "execute", "-m", "kiosk.definitions", "-j", "status")
        assert done.returncode == 0, done.stderr
        said = done.stderr.partition("failed runs\n")[2].partition("\n20")[0]
        return [line.partition("-> ")[2] for line in said.splitlines() if "-> " in line]

    def shell(self, line: str) -> None:
        """Type a line in the project folder."""
        environment = self.environ() | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-ec", line], env=environment, cwd=self.source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def edit(self, old: str, new: str) -> None:
        """Change the code of the model ``late``."""
        path = self.source / "kiosk" / "models" / "late" / "score.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def service(self) -> Endpoint:
        """The service that answers."""
        found = self.world().serving.current()
        assert found is not None
        return found

    def answer(self) -> float:
        """What the service says of a recorded example."""
        world = self.world()
        live = world.registry.ledger().live("late")
        assert live is not None
        said = world.serving.predict("late", world.registry.load(live).signature["probe"]["examples"][:1])
        return float(said["predictions"][0]["prediction"])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    one = Night(tmp_path_factory.mktemp("freeze"))
    done = one.replay()
    assert done.returncode == 0, done.stderr
    yield one
    one.world().serving.stop()


def said_by_name(subject: str, undone: str) -> list[str]:
    """What a refusal names: what was refused, who froze and why, and the way out; since when is the ledger's to say."""
    return [f"{subject}: the platform is frozen since ", f": {WHY}. Nothing was {undone}; what is live stays live.", UNFREEZE]


def test_a_service_that_is_up_is_left_alone_in_a_freeze_and_no_new_code_is_rolled(night: Night) -> None:
    assert "\nservice: stopped since 20" in night.operate("status")
    night.typed()
    before, answer = night.service(), night.answer()
    night.operate("freeze", "--why", WHY)
    night.edit(OLD, NEW)
    said = night.refused("deployment/kiosk/service")
    assert [part for part in said_by_name("kiosk", "deployed") if part not in said] == []
    assert (night.service(), night.answer()) == (before, answer)


def test_a_training_by_hand_is_refused_before_it_writes_anything(night: Night) -> None:
    rows, runs = digests(night), mlflow(night)
    for select in ("model/late/parts", "training_set/late/examples"):
        said = night.refused(select, "--partition", LAST)
        assert [part for part in said_by_name("late", "trained") if part not in said] == []
    assert (digests(night), mlflow(night)) == (rows, runs)


def test_a_service_that_went_down_in_a_freeze_comes_back_with_the_code_that_it_had(night: Night) -> None:
    before, answer = night.service(), night.answer()
    os.kill(before.pid, 9)
    while before.alive:
        time.sleep(0.1)
    assert "no service answers for late, wait: it ended, and nobody stopped it" in night.operate("status")
    night.typed()
    assert (night.service().bento, night.service().pid != before.pid, night.answer()) == (before.bento, True, answer)


def test_where_none_answered_before_a_freeze_starts_none(night: Night) -> None:
    serving = night.home / "serving"
    night.world().serving.stop()
    away = serving.rename(night.home / "away")
    said = night.refused("deployment/kiosk/service")
    assert [part for part in said_by_name("kiosk", "deployed") if part not in said] == []
    assert "none has answered here yet" in said
    assert night.world().serving.current() is None
    shutil.rmtree(serving)
    away.rename(serving)


def test_after_the_freeze_the_failed_runs_are_run_again_by_the_lines_that_the_status_job_prints(night: Night) -> None:
    night.operate("unfreeze", "--why", "it is back")
    night.edit(NEW, OLD)
    for line in dict.fromkeys(night.to_run_again()):
        night.shell(line)
    assert (night.to_run_again(), night.answer() > 0) == ([], True)
