"""The documents as the tests read them: code blocks and the files that they belong to, applied to a copy of the project."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resources.settings import child_environment

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$|In\s+`(?P<file>[\w./]+)`:$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the file that the text before it names."""

    language: str
    text: str
    file: str | None


def blocks(page: str) -> list[Block]:
    """All code blocks of a page; a file that is named holds for the block after it, and for all diffs that follow."""
    return list(_blocks((ROOT / "docs" / page).read_text()))


def _blocks(text: str) -> Iterator[Block]:
    file, named = None, False
    for found in BLOCK.finditer(text):
        if found["file"]:
            file, named = found["file"], True
            continue
        yield Block(found["language"], found["text"], file if named or found["language"] == "diff" else None)
        named = False


def project(folder: Path, *, home: Path | None = None) -> Path:
    """A copy of the checkout's code in ``folder``, with ``home``, if given, copied to its ``.mlops``."""
    for name in ("mlops_assets", "resources", "sensors"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("workspace.yaml", "requirements-serve.lock"):
        shutil.copy(ROOT / name, folder / name)
    if home is not None:
        shutil.copytree(home, folder / ".mlops")
    return folder


def write(folder: Path, page: str) -> list[Path]:
    """Do what the page says to the project's files; returns those that are new."""
    made: list[Path] = []
    for block in blocks(page):
        if block.file is None:
            continue
        path = folder / block.file
        if block.language == "diff":
            _edit(path, block.text)
            continue
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".py":
            (path.parent / "__init__.py").touch()
        assert not path.exists(), f"{page} writes over {block.file}"
        path.write_text(block.text)
        made.append(path)
    return made


def commands(page: str, *, after: str = "") -> list[str]:
    """The shell blocks of a page, those after the heading ``after``."""
    text = (ROOT / "docs" / page).read_text()
    assert after in text
    return [block.text for block in _blocks(text[text.index(after) :]) if block.language == "sh"]


def shell(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a shell block in the project folder, as a reader whose shell has the environment on its path and Dagster's home exported."""
    dagster_home = folder / ".mlops" / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    environment = child_environment(
        PATH=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        PYTHONPATH=str(folder),
        DAGSTER_HOME=str(dagster_home),
    )
    environment.pop("MLOPS_HOME", None)
    return subprocess.run(["/bin/sh", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600)


def done(folder: Path, text: str) -> str:
    """What a shell block that must succeed printed."""
    ran = shell(folder, text)
    assert ran.returncode == 0, f"{text}\n{ran.stdout[-3000:]}\n{ran.stderr[-6000:]}"
    return ran.stdout + ran.stderr


def _edit(path: Path, diff: str) -> None:
    lines = diff.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[:1] != sign) for sign in ("+", "-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} does not hold once:\n{old}"
    path.write_text(text.replace(old, new))
