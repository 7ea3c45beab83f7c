"""What is live, what is red, since when and what to do, told from a real ledger and from what a service process says of itself."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.registry import acts
from resources.registry.acts import By, Signed
from resources.registry.resource import Registry
from resources.registry.status import Status, status
from resources.security import tokens
from resources.serving.endpoint import CURRENT, STOPPED, Endpoint, start_time
from resources.serving.standing import UNKNOWN
from resources.settings import child_environment
from tests.resources.registry.records import WHOLE

ROOT = Path(__file__).parents[3]
APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
ANA = By(actor="ana", data_at=APRIL, why="late in EWR")


class Office:
    """A ledger with one model of two versions, the first live."""

    def __init__(self, folder: Path, level: str = "internal") -> None:
        self.folder = folder
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.desk = self.registry.desk()
        releases = self.registry.releases()
        self.names = [releases.write("churn", {"w": n}, WHOLE, {"entry": "acme:predict"}) for n in (1, 2)]
        for name in self.names:
            self.registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL, facts={"level": level})
        if level == "internal":
            acts.promote(self.desk, "churn", 1, ANA)

    def status(self) -> Status:
        return status(self.desk.ledger, serving_home=self.folder / "serving")

    def reds(self) -> list[str]:
        return [str(red) for red in self.status().reds]

    def red(self, part: str) -> str:
        (found,) = [one for one in self.reds() if part in one]
        return found

    def version(self) -> int | None:
        live = self.desk.ledger.live("churn")
        return live.version if live else None

    def mend(self, part: str, *, mended: bool = True) -> str:
        """Type what a red thing says to do, in a shell; whether it is red afterwards is told too."""
        do = self.red(part).partition("-> ")[2]
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        environment = child_environment(MLOPS_HOME=str(self.folder), PYTHONPATH=str(ROOT), PATH=path)
        done = subprocess.run(["/bin/sh", "-ec", do], cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert any(part in one for one in self.reds()) != mended
        return do


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.chdir(tmp_path)
    return Office(tmp_path)


class Says(http.server.BaseHTTPRequestHandler):
    """A service that says of itself what the test gave its server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"models": vars(self.server)["seats"]}).encode())

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  it says nothing
        """Say nothing."""


@pytest.fixture
def service(office: Office) -> Iterator[dict[str, Any]]:
    """The seats of a service that runs as this process; a test fills them in."""
    seats: dict[str, Any] = {}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        vars(server)["seats"] = seats
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, started = f"http://127.0.0.1:{server.server_port}", start_time(os.getpid()) or 0
        one = Endpoint(run="r", url=url, pid=os.getpid(), started=started, project="p", bento="b", home=str(office.folder))
        one.write(office.folder / "serving" / CURRENT)
        yield seats
        server.shutdown()


def seat(version: int, name: str, **refused: str) -> dict[str, object]:
    return {"version": version, "content_hash": name, "refused": refused}


def test_when_all_is_well_nothing_is_red(office: Office, service: dict[str, Any]) -> None:
    service["churn"] = seat(1, office.names[0])
    found = office.status()
    assert (found.reds, found.models[0].answers) == ([], 1)
    assert "promoted by ana" in str(found)
    assert str(found).endswith("red\n  nothing")
    assert "\nservice: answers at http://127.0.0.1:" in str(found)


def test_a_service_that_answers_another_version_is_red_with_its_own_reason(office: Office, service: dict[str, Any]) -> None:
    acts.promote(office.desk, "churn", 2, ANA)
    service["churn"] = seat(1, office.names[0], **{office.names[1]: "it was fitted with other code"})
    found = office.red("the service answers with version 1, the ledger says 2")
    assert "it was fitted with other code (since 2" in found
    assert f"    -> python -m dagster job execute -m {UNKNOWN} -j deploy_p  # or: python -m mlops_assets.operate roll-back churn" in found
    acts.freeze(office.desk, ANA)
    assert "    -> python -m mlops_assets.operate unfreeze" in office.red("the service answers with version 1, the ledger says 2")


def test_a_service_that_does_not_follow_the_ledger_is_red_once_for_all_its_models(office: Office, service: dict[str, Any]) -> None:
    for model in ("churn", "price"):
        service[model] = seat(1, office.names[0]) | {"ledger": "ledger entry 7: no key signed it"}
    assert "the service does not follow the ledger: ledger entry 7: no key signed it" in office.red("no key signed it")


def test_a_service_that_needs_a_moment_is_told_apart_from_one_that_refuses(office: Office, service: dict[str, Any]) -> None:
    acts.promote(office.desk, "churn", 2, ANA)
    service["churn"] = seat(1, office.names[0])
    assert "it has not loaded it yet" in office.red("    -> python -m mlops_assets.operate status  # it follows within a second")


def test_where_no_service_was_ever_started_that_is_red(office: Office) -> None:
    found = office.red("no service answers for churn: none was started here yet")
    assert found.endswith(f"-> python -m dagster asset materialize -m {UNKNOWN} --select tag:stage=deployment")


def test_a_service_that_ended_by_itself_is_red_and_one_that_was_stopped_is_not(office: Office, service: dict[str, Any]) -> None:
    service["churn"] = seat(1, office.names[0])
    place = office.folder / "serving"
    running = Endpoint.read(place / CURRENT)
    assert running is not None
    replace(running, started=running.started - 100).write(place / CURRENT)
    start = f"-> python -m dagster job execute -m {UNKNOWN} -j deploy_p"
    assert office.red("no service answers for churn: it ended, and nobody stopped it").endswith(start)
    (place / CURRENT).rename(place / STOPPED)
    os.utime(place / STOPPED, (APRIL.timestamp(), APRIL.timestamp()))
    assert (office.reds(), f"\nservice: stopped since 2013-04-01 04:00:00\n    {start}\n" in str(office.status())) == ([], True)


def test_a_service_that_runs_and_says_nothing_is_red_with_its_log(office: Office, service: dict[str, Any]) -> None:
    del service
    place = office.folder / "serving"
    running = Endpoint.read(place / CURRENT)
    assert running is not None
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        replace(running, url=f"http://127.0.0.1:{deaf.getsockname()[1]}").write(place / CURRENT)
        found = office.red(f"process {os.getpid()} runs and does not answer within 2 s")
    assert found.endswith(f"-> tail -n 50 {running.log}")


def test_a_freeze_and_a_hold_are_red_since_their_entry_with_the_way_out(office: Office) -> None:
    frozen, held = acts.freeze(office.desk, ANA), acts.hold(office.desk, "churn", ANA)
    assert f"(since {str(frozen.at)[:19]})\n    -> python -m mlops_assets.operate unfreeze" in office.red("frozen by ana: late in EWR")
    assert f"(since {str(held.at)[:19]})\n    -> python -m mlops_assets.operate lift churn" in office.red("held by ana: late in EWR")


def test_a_model_of_which_nothing_is_live_is_red_since_it_ended(office: Office) -> None:
    ended = acts.revoke(office.desk, "churn", 1, ANA)
    assert f"(since {str(ended.at)[:19]})" in office.red("churn has no live version")
    acts.promote(office.desk, "churn", 2, ANA, activate_at=datetime.now(UTC) + timedelta(hours=1))
    assert "-> # version 2 goes live at " in office.red("churn has no live version")


def test_what_it_says_to_do_about_a_freeze_a_hold_and_a_revoked_version_does_it(office: Office) -> None:
    acts.promote(office.desk, "churn", 2, ANA)
    acts.freeze(office.desk, ANA)
    acts.hold(office.desk, "churn", ANA)
    for part in ("frozen by ana", "held by ana"):
        office.mend(part)
    acts.revoke(office.desk, "churn", 2, ANA)
    assert "operate roll-back churn" in office.mend("churn has no live version")
    assert (office.version(), "churn is held by" in "".join(office.reds())) == (1, True)


def test_where_nothing_was_live_before_the_newest_version_that_may_is_promoted_once_nothing_stops_it(office: Office) -> None:
    acts.revoke(office.desk, "churn", 1, ANA)
    acts.freeze(office.desk, ANA)
    office.mend("frozen")
    acts.hold(office.desk, "churn", ANA)
    said = office.red("churn has no live version")
    assert "operate lift churn --why '...'  # then: python -m mlops_assets.operate promote churn 2" in said
    office.mend("held by")
    office.mend("churn has no live version")
    assert office.version() == 2
    acts.revoke(office.desk, "churn", 2, ANA)
    assert office.mend("churn has no live version", mended=False) == "# no version may go live: train one that passes, or have one approved"


def test_what_waits_for_people_is_red_until_they_agreed(tmp_path: Path) -> None:
    office = Office(tmp_path, level="confidential")
    (tmp_path / "you.token").write_text(tokens.issue(office.desk.people, person="bo", valid=timedelta(days=1)))
    assert "operate approve churn 2 --token" in office.mend("churn: version 2 waits: a confidential model needs 1 person's approval")


def test_an_override_is_red_as_long_as_it_counts(office: Office) -> None:
    signed = Signed(token=tokens.issue(office.desk.people, person="bo", valid=timedelta(days=1)))
    acts.override(office.desk, "churn", "c" * 64, ANA, signed, valid=timedelta(days=1))
    assert "the gate of release cccccccccccc is overridden by bo: late in EWR" in office.red("overridden")


def test_a_torn_ledger_is_red(office: Office) -> None:
    with office.desk.ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        connection.exec_driver_sql("UPDATE ledger SET actor = 'eve' WHERE seq = 2")
    assert office.status().ledger == "does not hold"
    assert "ledger entry 2: its fields do not add up" in office.red("ledger entry 2")
