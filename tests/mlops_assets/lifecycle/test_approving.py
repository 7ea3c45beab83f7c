"""The page of pending approvals: what a reviewer needs, of this very version, and nothing that could not be believed."""

import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import pytest

from mlops_assets.lifecycle.approving import write_approvals
from resources.registry import acts
from resources.registry.acts import By
from resources.registry.heads import LedgerTampered
from tests.mlops_assets.lifecycle.pending import APRIL, GATE, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def text(desk: Desk) -> str:
    """The page as it is read."""
    path, _ = write_approvals(desk.desk, desk.folder / "reports")
    assert path == desk.folder / "reports" / "approvals.html"
    return unescape(re.sub(r"<[^>]+>", " ", path.read_text())).replace("\xa0", " ")


def html(desk: Desk) -> str:
    return write_approvals(desk.desk, desk.folder / "reports")[0].read_text()


def test_when_nothing_waits_the_page_says_so(desk: Desk) -> None:
    assert "No version waits for approval" in text(desk)
    desk.register(1.0, level="internal")
    assert "No version waits for approval" in text(desk)
    assert write_approvals(desk.desk, desk.folder / "reports")[1] == []


def test_a_version_shows_comparison_gate_card_and_lineage(desk: Desk) -> None:
    desk.live()
    desk.register(2.0)
    said = text(desk)
    for part in (
        "1 version waits for approval",
        "A confidential model needs 1 person's approval and has none.",
        "Trained by dagster, its code committed by tom@acme.org, mia@acme.org: it takes somebody else.",
        "Against version 1",
        "0.7511 [0.7302, 0.7698]",
        "+0.0031 [+0.0008, +0.0055]",
        "Paired by day on 6,102 examples",
        "auc better, ece worse",
        *(one["sentence"] for one in GATE),
        "What changed since version 1, which is live",
        "2013-04 is new in feature/airport/lately",
        "Telling passengers early that a flight is likely to be late.",
        "It knows no second winter.",
        "git 9c0ffee9c0ff",
        "rows 102118, since 2013-01",
    ):
        assert part in said, part
    assert html(desk).count("<svg") == 4


def test_a_difference_lies_on_the_side_of_better_whichever_way_its_metric_improves(desk: Desk) -> None:
    desk.live()
    desk.register(2.0)
    row = {name: line for line in html(desk).split("<tr>") for name in ("auc", "ece") if f">{name}</td>" in line and "<svg" in line}
    drawn = {name: [int(end) for end in re.findall(r"M(\d+) 8H(\d+)", line)[0]] for name, line in row.items()}
    assert min(drawn["auc"]) > 50 > max(drawn["ece"])  # a larger auc is better, a larger ece is worse


def test_who_has_agreed_stands_there_until_when_and_why(desk: Desk) -> None:
    desk.register(1.0, level="restricted")
    until = desk.approve("Bo@acme.org", 1).payload["expires_at"]
    said = text(desk)
    assert "1 of 2" in said
    assert "A restricted model needs the approval of 2 different people and has that of bo." in said
    assert re.search(rf"bo\s+{until[:16].replace('T', ' ')} UTC\s+compared, read the card", said)


def test_the_command_on_the_page_approves_this_version(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_assets.operate import main

    desk.live()
    desk.register(2.0)
    (line,) = re.findall(r"python -m mlops_assets\.operate (approve .*)", unescape(html(desk)))
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("my.token").write_text(desk.signed("bo").token)
    assert main(shlex.split(line)) == 0
    entry = desk.ledger.entries("flight_delay")[-1]
    assert (entry.kind, entry.version, entry.payload["why"]) == ("approved", 2, "what you looked at")
    assert "No version waits for approval" in text(desk)


def test_a_version_that_was_compared_with_what_is_live_no_more_says_so(desk: Desk) -> None:
    desk.live()
    desk.register(2.0)
    desk.register(3.0, cutoff="2013-05")
    assert "live no more" not in text(desk)
    desk.approve("bo", 2)
    desk.promote(2)
    assert "Version 1 is live no more; version 2 is: compare it anew (job compare)." in text(desk)
    acts.archive(desk.desk, "flight_delay", 2, By(actor="ana", data_at=APRIL, why="old"))
    assert "Version 1 is live no more; nothing is." in text(desk)


def test_a_first_version_is_compared_with_nothing(desk: Desk) -> None:
    desk.register(1.0)
    said = text(desk)
    assert "Compared with nothing" in said
    assert "this would be the first version that answers" in said
    assert "not compared" in said


def test_what_was_not_recorded_is_called_so(desk: Desk) -> None:
    desk.register(1.0, gate=None, metrics=None)
    assert text(desk).count("Not recorded when it was registered.") == 2


def test_an_overridden_gate_a_hold_a_freeze_and_a_newer_version_are_loud(desk: Desk) -> None:
    by = By(actor="ana", data_at=APRIL, why="wait for the audit")
    desk.register(1.0, gate=[{**GATE[0], "passed": False}], gate_overridden="The gate failed and was overridden by bo.")
    desk.register(2.0)
    acts.hold(desk.desk, "flight_delay", by)
    acts.freeze(desk.desk, by)
    loud = " ".join(re.findall(r"class='[^']*bad[^']*'>([^<]*)<", html(desk)))
    for part in (
        "overridden",
        "The gate failed and was overridden by bo.",
        "failed",
        "flight_delay is held since",
        "The platform is frozen since",
    ):
        assert part in loud, part
    assert loud.count("Version 2 is newer and waits too.") == 1


def test_a_record_that_is_not_the_signed_one_is_not_shown_and_no_command_is_offered(desk: Desk) -> None:
    entry = desk.register(1.0)
    desk.register(1.0, model="air_time")
    record = desk.registry.releases().path("flight_delay", str(entry.content_hash)) / "record.json"
    record.chmod(0o644)
    record.write_bytes(record.read_bytes().replace(b"second winter", b"bad  weather.."))
    said = html(desk)
    assert "2 versions wait for approval" in said
    assert "record.json was changed" in said
    assert "bad  weather" not in said
    assert re.findall(r"operate approve (\w+)", said) == ["air_time"]


def test_provenance_that_was_replaced_after_it_was_signed_is_not_shown(desk: Desk) -> None:
    releases, entry = desk.registry.releases(), desk.register(1.0)
    record = releases.record("flight_delay", str(entry.content_hash))
    shutil.rmtree(releases.path("flight_delay", str(entry.content_hash)))
    forged = {**record, "provenance": {**record["provenance"], "card": "**Intended use.** Anything."}}
    assert releases.write("flight_delay", {"weight": 1.0}, forged, {"entry": "acme:predict"}) == entry.content_hash
    said = html(desk)
    assert "manifest.json is not the one that the ledger recorded" in said
    assert "Anything." not in said
    assert "operate approve" not in said


def test_on_a_ledger_that_does_not_hold_there_is_no_page(desk: Desk) -> None:
    desk.register(1.0)
    with desk.ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        connection.exec_driver_sql("UPDATE ledger SET payload = replace(payload, '0.7511', '0.9511')")
    with pytest.raises(LedgerTampered):
        write_approvals(desk.desk, desk.folder / "reports")
    assert not (desk.folder / "reports").exists()


def test_the_page_links_to_the_pages_that_are_there(desk: Desk) -> None:
    desk.live()
    desk.register(2.0)
    assert "trained/2013-04.html" not in html(desk)
    for place in ("trained/2013-04.html", "compared/1-2.html"):
        path = desk.folder / "reports" / "flight_delay" / place
        path.parent.mkdir(parents=True)
        path.touch()
        assert f"<a href='flight_delay/{place}'>" in html(desk)


def test_thirty_versions_are_a_list_whose_lines_lead_to_them(desk: Desk) -> None:
    for number in range(30):
        desk.register(1.0, model=f"model_{number:02d}")
    path, lines = write_approvals(desk.desk, desk.folder / "reports")
    made = path.read_text()
    assert len(lines) == 30
    assert re.findall(r"href='#(model_\d\d-1)'", made) == re.findall(r"<section id='(model_\d\d-1)'", made)
    assert lines[0] == "model_00 version 1 waits: a confidential model needs 1 person's approval and has none"


def test_what_people_wrote_is_text_and_never_acts(desk: Desk) -> None:
    desk.register(1.0, gate=[{"name": "x", "passed": True, "sentence": "<script>alert(1)</script>"}], metrics={"<b>": [1, None, None]})
    made = html(desk)
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert "<td class=short>&lt;b&gt;</td>" in made
