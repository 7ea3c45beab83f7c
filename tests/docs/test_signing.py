"""The page about signing: anybody can verify a version with its script and openssl, and its commands do what it says."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.registry.formats import FORMATS
from resources.registry.resource import Registry
from resources.registry.statement import SignerRefused
from resources.registry.states import Entry
from tests.docs.pages import ROOT, blocks, commands, done, project, shell
from tests.resources.registry.records import WHOLE

PAGE = "reference/signing.md"


class Home:
    """A project with a home that holds one registered version, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = project(folder)
        home = folder / ".mlops"
        self.registry = Registry(ledger_url=f"sqlite:///{home}/ledger.db", releases_root=str(home / "releases"))
        named = self.registry.releases().write("churn", {"weight": 1.0}, WHOLE, {})
        now = datetime(2013, 4, 1, tzinfo=UTC)
        self.entry: Entry = self.registry.register("churn", named, mlflow_run_id="run", actor="gate", data_at=now)
        (script,) = [block.text for block in blocks(PAGE) if block.language == "python"]
        (folder / "verify.py").write_text(script)

    def filled(self, text: str) -> str:
        """A shell block whose variables are this version's."""
        said = {"MODEL": "churn", "VERSION": "1", "HASH": str(self.entry.content_hash), "KEY": self.entry.payload["key_id"]}
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items()) + text

    def verify(self) -> "subprocess.CompletedProcess[str]":
        return shell(self.folder, self.filled(commands(PAGE, after="## Verify a version without us")[0]))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_version_is_verified_with_the_pages_script_and_openssl(home: Home) -> None:
    said = home.verify()
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout.splitlines()[0]) == {"model": "churn", "version": 1, "content_hash": home.entry.content_hash}
    assert "Signature Verified Successfully" in said.stdout


def changed(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))


def test_the_script_names_a_file_that_was_changed_added_or_removed(home: Home) -> None:
    folder = home.registry.releases().path("churn", str(home.entry.content_hash))
    keep = home.folder / "keep"
    shutil.copytree(folder, keep)
    harms: list[tuple[Callable[[Path], object], str]] = [
        (lambda path: path.with_name(".gitignore").write_text("*"), ".gitignore was added, removed or exchanged"),
        (Path.unlink, "weight.json was added, removed or exchanged"),
        (changed, "weight.json was changed"),
    ]
    for harm, sentence in harms:
        harm(folder / "weight.json")
        said = home.verify()
        assert (said.returncode, said.stderr.strip()) == (1, sentence)
        shutil.rmtree(folder)
        shutil.copytree(keep, folder)


def test_openssl_refuses_a_statement_that_was_changed(home: Home) -> None:
    path = Path(home.registry.releases().statements.place("churn", str(home.entry.content_hash), 1))
    envelope = json.loads(path.read_bytes())
    envelope["signatures"][0]["sig"] = envelope["signatures"][0]["sig"][::-1].lstrip("=") + "=="
    path.chmod(0o644)
    path.write_text(json.dumps(envelope))
    said = home.verify()
    assert said.returncode == 1
    assert "Signature Verification Failure" in said.stdout + said.stderr


def test_the_pages_commands_show_rotate_revoke_and_sign_again(home: Home) -> None:
    look_and_rotate, revoke_and_resign = commands(PAGE, after="## Keys")[:2]
    said = done(home.folder, look_and_rotate)
    first, newer = str(home.entry.payload["key_id"]), home.registry.ring("release").signing_key()[0]
    assert first in said
    assert newer in said
    assert newer != first
    revoke, resign = revoke_and_resign.strip().splitlines()
    done(home.folder, home.filled(revoke))
    with pytest.raises(SignerRefused, match=r"laptop stolen\)\. .*operate resign churn 1"):
        home.registry.load(home.entry)
    assert newer in done(home.folder, home.filled(resign))
    assert home.registry.load(home.entry).content_hash == home.entry.content_hash


def test_the_page_lists_the_formats_that_there_are() -> None:
    told = re.findall(r"^\| `(\.[\w.]+)` \|", (ROOT / "docs" / PAGE).read_text(), re.MULTILINE)
    assert told == [one.suffix for one in FORMATS]


def test_a_ring_without_keys_and_a_key_that_it_has_not_are_told(home: Home) -> None:
    assert done(home.folder, "python -m mlops_assets.operate keys people") == "No key yet.\n"
    said = shell(home.folder, "python -m mlops_assets.operate revoke-key release 0000000000000000 --why mistyped")
    assert said.returncode == 1
    assert "key '0000000000000000' is not in the ring" in said.stderr


def test_a_version_that_was_never_registered_cannot_be_signed_again(home: Home) -> None:
    said = shell(home.folder, "python -m mlops_assets.operate resign churn 2")
    assert said.returncode == 1
    assert "churn has no version 2" in said.stderr
