"""What the replay refuses before it starts: one clear sentence, exit 1, and nothing left behind."""

from pathlib import Path

import pytest

from tests.journeys.conftest import replay

WRONG = {
    "a month before the archive": (["--until", "2012-01"], "--until 2012-01: the archive of flights has the months 2013-01 to 2013-12."),
    "a month after the archive": (["--until", "2014-03"], "--until 2014-03: the archive of flights has the months 2013-01 to 2013-12."),
    "no month": (["--until", "april"], "--until april: the archive of flights has the months 2013-01 to 2013-12."),
    "no module": (["--catalogue", "nowhere.catalogue"], "--catalogue nowhere.catalogue is no catalogue: No module named 'nowhere'."),
    "no such name": (["--catalogue", "mlops_assets.keys:CATS"], "is no catalogue: module 'mlops_assets.keys' has no attribute 'CATS'."),
    "something else": (["--catalogue", "mlops_assets.keys:key"], "--catalogue mlops_assets.keys:key is no catalogue: it is a function."),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_command_that_cannot_be_meant_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    arguments, said = WRONG[case]
    done = replay(tmp_path / "home", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Nothing was started." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "lake").exists()


@pytest.mark.parametrize("place", ["/proc/nowhere/home", "a file"])
def test_a_home_that_cannot_be_written_is_refused_in_one_sentence(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    home = tmp_path / place / "home"  # an absolute place stays as it is
    done = replay(home)
    assert done.returncode == 1
    assert f"{home} cannot hold a replay (" in done.stderr
    assert "so nothing was started. Give write permission there, or set MLOPS_HOME to another folder." in done.stderr
    assert "Traceback" not in done.stderr
