"""What is live, what is red, since when and what to do, told from a real ledger and from what a service process says of itself."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.registry import acts
from resources.registry.acts import By, Signed
from resources.registry.resource import Registry
from resources.registry.status import Status, status
from resources.security import tokens
from resources.serving.endpoint import CURRENT, Endpoint, start_time
from tests.resources.registry.records import WHOLE

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


@pytest.fixture
def office(tmp_path: Path) -> Office:
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


def test_a_service_that_answers_another_version_is_red_with_its_own_reason(office: Office, service: dict[str, Any]) -> None:
    acts.promote(office.desk, "churn", 2, ANA)
    service["churn"] = seat(1, office.names[0], **{office.names[1]: "it was fitted with other code"})
    found = office.red("the service answers with version 1, the ledger says 2")
    assert "it was fitted with other code (since 2" in found
    assert "-> materialize deployment/<project>/service, or roll back" in found


def test_a_service_that_is_away_is_red(office: Office) -> None:
    assert "no service answers for churn" in office.red("no service")


def test_a_freeze_and_a_hold_are_red_since_their_entry_with_the_way_out(office: Office) -> None:
    frozen, held = acts.freeze(office.desk, ANA), acts.hold(office.desk, "churn", ANA)
    assert f"(since {str(frozen.at)[:19]})\n    -> python -m mlops_assets.operate unfreeze" in office.red("frozen by ana: late in EWR")
    assert f"(since {str(held.at)[:19]})\n    -> python -m mlops_assets.operate lift churn" in office.red("held by ana: late in EWR")


def test_a_model_of_which_nothing_is_live_is_red_since_it_ended(office: Office) -> None:
    ended = acts.revoke(office.desk, "churn", 1, ANA)
    assert f"(since {str(ended.at)[:19]})" in office.red("churn has no live version")
    acts.promote(office.desk, "churn", 2, ANA, activate_at=datetime.now(UTC) + timedelta(hours=1))
    assert "-> wait until " in office.red("churn has no live version")


def test_what_waits_for_people_is_red_until_they_agreed(tmp_path: Path) -> None:
    office = Office(tmp_path, level="confidential")
    assert "operate approve churn 2 --token" in office.red("churn: version 2 waits: a confidential model needs 1 person's approval")
    token = tokens.issue(office.desk.people, person="bo", valid=timedelta(days=1))
    acts.approve(office.desk, "churn", 2, ANA, Signed(token=token))
    assert not any("waits" in one for one in office.reds())


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
