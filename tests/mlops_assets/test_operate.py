"""The commands of a person on call: what they ask, what they print, and that they answer at once because they load no Dagster."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.lifecycle.operating import operating
from mlops_assets.operate import main
from mlops_assets.verbs import FIELDS, VERBS
from resources.clock import DataClock
from resources.profiles import embedded
from resources.registry.resource import Registry
from resources.settings import Settings
from tests.resources.registry.records import WHOLE

HEAVY = ("dagster", "mlflow", "pandas", "polars", "feast", "bentoml")


@pytest.fixture
def registry(clock: DataClock, home: Path) -> Registry:
    """The registry of the home: one model with a live version and a candidate, the data clock at the end of January 2013."""
    found = embedded(Settings(home=home), "acme").registry
    for weight in (1.0, 2.0):
        name = found.releases().write("churn", {"weight": weight}, WHOLE, {"entry": "acme:predict"})
        found.register("churn", name, mlflow_run_id="r", actor="dagster", data_at=clock.now(), facts={"level": "internal"})
    found.promote("churn", 1, actor="dagster", data_at=clock.now())
    return found


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def test_a_command_loads_nothing_heavy() -> None:
    code = f"import sys; import mlops_assets.operate; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split() == []


def test_an_act_is_an_entry_by_the_person_at_the_machine_at_the_data_clock(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = say(capsys, "promote", "churn", "2", "--why", "better")
    entry = registry.ledger().entries()[-1]
    assert (code, entry.kind, entry.version, entry.payload["why"]) == (0, "promoted", 2, "better")
    assert entry.data_at == datetime(2013, 2, 1, 5, tzinfo=UTC)
    assert said == f"entry {entry.seq}: churn version 2 promoted by {entry.actor} at {entry.at.isoformat(timespec='seconds')}"


def test_a_refusal_is_one_sentence_and_status_one(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    before = registry.ledger().seq()
    code, said, error = say(capsys, "promote", "churn", "7")
    assert (code, said) == (1, "")
    assert error.startswith("churn has no version 7: it has versions 1 to 2.")
    assert registry.ledger().seq() == before


def test_a_token_comes_from_its_file_and_a_missing_file_says_how_to_get_one(
    registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, token, _ = say(capsys, "token", "bo", "--days", "1")
    (tmp_path / "bo").write_text(token + "\n")
    assert say(capsys, "approve", "churn", "2", "--token", str(tmp_path / "bo"))[0] == 0
    assert registry.ledger().entries()[-1].payload["approver"] == "bo"
    name = registry.ledger().entries()[1].content_hash
    assert say(capsys, "override", "churn", str(name), "--token", str(tmp_path / "bo"), "--why", "it must", "--days", "2")[0] == 0
    assert registry.ledger().entries()[-1].payload["person"] == "bo"
    code, _, error = say(capsys, "approve", "churn", "2", "--token", str(tmp_path / "none"))
    assert (code, "none holds no token: No such file or directory" in error, "operate token <person>" in error) == (1, True, True)


def test_a_ledger_is_verified_exported_and_signed(registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert say(capsys, "verify") == (0, "4 entries hold, and the last one is the head that was signed.", "")
    assert say(capsys, "export", str(tmp_path / "out.jsonl"))[1].startswith("4 entries and the signed head are in ")
    with registry.ledger()._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER heads_no_delete")
        connection.exec_driver_sql("DELETE FROM heads")
    assert say(capsys, "verify")[0] == 1
    assert say(capsys, "sign") == (0, "4 entries hold, and the head is signed.", "")
    assert say(capsys, "verify")[0] == 0


def test_what_has_to_be_said_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["freeze"], ["roll-back", "churn"], ["revoke", "churn", "--why", "x"], []):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "required" in capsys.readouterr().err


def test_status_names_what_is_live_and_what_is_red(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    say(capsys, "hold", "churn", "--why", "look first")
    _, said, _ = say(capsys, "status")
    live = registry.ledger().live("churn")
    assert live is not None
    assert said.splitlines()[0].startswith("ledger: 5 entries hold, head signed by key ")
    assert f"churn  1     -        {live.at.isoformat(sep=' ')[:19]}, promoted by dagster" in said
    assert "no service answers for churn" in said
    assert "operate lift churn --why '...'" in said


def test_what_waits_is_a_line_each_and_a_page_in_the_folder_of_reports(
    clock: DataClock, registry: Registry, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = home / "reports" / "approvals.html"
    assert say(capsys, "approvals") == (0, f"No version waits for approval.\nThe page: {page}", "")
    name = registry.releases().write("churn", {"weight": 3.0}, WHOLE, {"entry": "acme:predict"})
    registry.register("churn", name, mlflow_run_id="r", actor="dagster", data_at=clock.now(), facts={"level": "confidential"})
    code, said, _ = say(capsys, "approvals")
    assert (code, said.splitlines()[0]) == (0, "churn version 3 waits: a confidential model needs 1 person's approval and has none")
    assert "1 version waits for approval" in page.read_text()


def test_every_verb_asks_for_what_a_job_can_give_too() -> None:
    assert {name for verb in VERBS for name in verb.asks} == set(FIELDS)
    assert {job.name for job in operating()} > {verb.job for verb in VERBS if verb.job}
