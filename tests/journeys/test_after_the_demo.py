"""After a replay: stock ``dagster dev`` on its home, a new month, code that is edited under the running service. Tests run in order."""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.serving.controller import NotServed
from resources.serving.endpoint import STOPPED, Endpoint
from tests.journeys.tiny import LAST, Kiosk, runs

NEXT = "2020-03"
SENSORS = {"build_new_data", "deploy_on_release", "ingest_on_new_file", "retrain_on_judged_month", "score_on_complete_month"}
WAIT = 300.0
"""Seconds until a test gives up; nothing takes so long when all is well."""

DELIVER = """
import sys
from kiosk.source import ORDERS
from resources.inbox import Inbox
Inbox(root=sys.argv[1]).deliver(ORDERS.table, sys.argv[2], ORDERS.archive(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A home after its replay."""
    one = Kiosk(tmp_path_factory.mktemp("after"))
    done = one.replay()
    assert done.returncode == 0, done.stderr
    yield one
    one.world().serving.stop()


@pytest.fixture(scope="module")
def dev(kiosk: Kiosk) -> Iterator[subprocess.Popen[bytes]]:
    """Stock ``dagster dev`` with its sensors on."""
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", "0"]
    with (kiosk.home / "dev.log").open("wb") as log:
        process = subprocess.Popen(command, env=kiosk.environ(), cwd=kiosk.source, stdout=log, stderr=log)
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def until(happened: Callable[[], bool], kiosk: Kiosk) -> None:
    deadline = time.monotonic() + WAIT
    while not happened():
        assert time.monotonic() < deadline, (kiosk.home / "dev.log").read_text()[-5000:]
        time.sleep(1)


def ticked(kiosk: Kiosk, since: float, *, times: int) -> bool:
    """Whether every sensor has looked so often since an instant."""
    with dg.DagsterInstance.from_config(str(kiosk.home / "dagster")) as instance:
        ticks = {
            state.instigator_name: instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
            for state in instance.all_instigator_state()
        }
    looked = {name for name, found in ticks.items() if sum(tick.is_completed for tick in found) >= times}
    return looked >= SENSORS


def started_since(kiosk: Kiosk, before: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str, str]]:
    return runs(kiosk) - before


def answer(kiosk: Kiosk, model: str) -> dict[str, Any]:
    """What the service says of a recorded example."""
    world = kiosk.world()
    live = world.registry.ledger().live(model)
    assert live is not None
    return dict(world.serving.predict(model, world.registry.load(live).signature["probe"]["examples"][:1]))


def endpoint(kiosk: Kiosk) -> Endpoint:
    found = kiosk.world().serving.current()
    assert found is not None
    return found


def materialize(kiosk: Kiosk, select: str, *more: str) -> subprocess.CompletedProcess[str]:
    return kiosk.run("-m", "dagster", "asset", "materialize", "-m", "kiosk.definitions", "--select", select, *more)


def edit(kiosk: Kiosk, old: str, new: str) -> None:
    path = kiosk.source / "kiosk" / "models" / "late" / "score.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_stock_dagster_starts_nothing_by_itself(kiosk: Kiosk, dev: subprocess.Popen[bytes]) -> None:
    before, now = runs(kiosk), time.time()
    until(lambda: ticked(kiosk, now, times=2), kiosk)
    assert runs(kiosk) == before
    assert dev.poll() is None


def test_a_new_month_starts_exactly_its_runs_each_once_and_then_it_is_quiet(kiosk: Kiosk, dev: subprocess.Popen[bytes]) -> None:
    before = runs(kiosk)
    assert kiosk.run("-c", DELIVER, str(kiosk.home / "inbox"), NEXT).returncode == 0
    expected = {
        ("SUCCESS", "quarantine/kiosk/orders", NEXT): 1,
        ("SUCCESS", "feature/stall/lately", NEXT): 1,
        ("SUCCESS", "monitor/late/consistency", NEXT): 1,
        ("SUCCESS", "monitor/wait/consistency", NEXT): 1,
        ("SUCCESS", "evaluation/late/holdout", NEXT): 1,
        ("SUCCESS", "evaluation/wait/holdout", NEXT): 1,
    }
    deployments = ("SUCCESS", "deployment/kiosk/service", "")

    def all_live() -> bool:
        ledger = kiosk.world().registry.ledger()
        live = [one.version for model in ("late", "wait") if (one := ledger.live(model)) is not None]
        return live == [3, 3] and kiosk.world().serving.current() is not None and deployments in started_since(kiosk, before)

    until(all_live, kiosk)
    settled = time.time()
    until(lambda: ticked(kiosk, settled, times=1) and all(run[0] in {"SUCCESS", "FAILURE"} for run in runs(kiosk)), kiosk)
    found = started_since(kiosk, before)
    assert found.pop(deployments) in {1, 2}  # one for each set of live versions: the two trainings end together or one after the other
    assert found == expected
    assert {answer(kiosk, model)["version"] for model in ("late", "wait")} == {3}
    assert dev.poll() is None


def test_the_service_outlives_stock_dagster_and_nothing_else_does(kiosk: Kiosk, dev: subprocess.Popen[bytes]) -> None:
    dev.send_signal(signal.SIGINT)
    dev.wait(timeout=60)
    until(lambda: all("bentoml" in line for line in kiosk.processes()), kiosk)
    assert answer(kiosk, "late")["version"] == 3


def test_edited_code_predicts_no_month_with_parts_that_it_would_misread(kiosk: Kiosk) -> None:
    lake = kiosk.world().lake
    before = lake.digests("prediction/late/batch")
    edit(kiosk, "SHARE: Final = 1.0", "SHARE: Final = 0.5")
    done = materialize(kiosk, "prediction/late/batch", "--partition", LAST)
    edit(kiosk, "SHARE: Final = 0.5", "SHARE: Final = 1.0")
    assert done.returncode != 0
    assert f"late {LAST}: version 1 was released with other code than kiosk.models.late.score holds now" in done.stdout + done.stderr
    assert lake.digests("prediction/late/batch") == before


def test_edited_code_that_was_not_released_is_named_and_changes_no_answer(kiosk: Kiosk) -> None:
    before, service = {model: answer(kiosk, model) for model in ("late", "wait")}, endpoint(kiosk)
    edit(kiosk, "SHARE: Final = 1.0", "SHARE: Final = 0.5")
    done = materialize(kiosk, "deployment/kiosk/service")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    live = kiosk.world().registry.ledger().live("late")
    assert live is not None
    code = kiosk.world().registry.load(live).signature["code_hash"]
    assert f"late: version 3 was released with code {code[:12]}, kiosk.models.late.score:predict is now " in said
    assert "Train and release late with the code as it is now, or bring that code back" in said
    assert {model: answer(kiosk, model) for model in ("late", "wait")} == before
    assert endpoint(kiosk) == service


def test_a_release_of_the_edited_code_is_refused_by_name_and_rolls_a_new_service(kiosk: Kiosk) -> None:
    before, service = answer(kiosk, "late"), endpoint(kiosk)
    stages = "training_set/late/examples,model/late/parts,evaluation/late/holdout,release/late/candidate"
    assert materialize(kiosk, stages, "--partition", NEXT).returncode == 0
    assert materialize(kiosk, "release/late/live").returncode == 0
    world = kiosk.world()
    live = world.registry.ledger().live("late")
    assert live is not None
    with pytest.raises(NotServed, match=r"late: release .* was fitted with code"):
        world.serving.wait_for("late", str(live.content_hash), timeout=30)
    assert answer(kiosk, "late")["version"] == 3  # the version before keeps answering
    done = materialize(kiosk, "deployment/kiosk/service")
    assert done.returncode == 0, done.stderr
    after = answer(kiosk, "late")
    assert after["version"] == 4
    assert after["predictions"][0]["prediction"] == pytest.approx(before["predictions"][0]["prediction"] / 2)
    assert answer(kiosk, "wait")["version"] == 3
    assert endpoint(kiosk).bento != service.bento
    registered = [one for one in world.registry.ledger().entries("late") if one.kind == "registered"]
    assert len({one.payload["mlflow_run_id"] for one in registered}) == 4  # other code is another run, also for the same month
    until(lambda: not service.alive, kiosk)  # it drains, then ends by itself


def test_one_call_stops_the_service_and_leaves_nothing(kiosk: Kiosk) -> None:
    kiosk.world().serving.stop()
    assert kiosk.processes() == []
    assert [path.name for path in (kiosk.home / "serving").glob("*.json")] == [STOPPED]
