"""Whatever is changed, added, removed or put in another's place between registration and load is refused, each by its own error."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from resources.errors import PlatformError
from resources.registry import formats
from resources.registry.heads import LedgerTampered
from resources.registry.identity import canonical, sha256
from resources.registry.releases import ReleaseChanged, ReleaseMissing, ReleaseNotWritten
from resources.registry.resource import NeverRegistered, Registry
from resources.registry.shelf import FolderShelf
from resources.registry.statement import (
    NotSigned,
    SignerRefused,
    StatementChanged,
    StatementForeign,
    StatementMissing,
    Statements,
    authenticated,
    stated,
)
from resources.registry.states import Entry
from resources.security.keys import KeyRing
from tests.resources.registry.records import whole

RECORD = whole(
    {"tables": {"table/shop/orders": {"2013-01": "d1"}}, "views": {"shop_orders": "f" * 64}, "lock": "1" * 64},
    git={"commit": "c" * 40, "dirty": False, "author": "bo@acme.org", "committer": None},
    tables={"table/shop/orders": 12},
    dagster_run="r1",
)


class Shop:
    """A registry with two versions of one model and one of another, all signed."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.releases, self.ring = self.registry.releases(), self.registry.ring("release")
        self.entry, self.second, self.other = self.release("churn", 1.0), self.release("churn", 2.0), self.release("delay", 1.0)

    def release(self, model: str, weight: float) -> Entry:
        parts = {"weights": np.array([weight, 2.0]), "names": ["a", "b"]}
        named = self.releases.write(model, parts, RECORD, {"entry": "acme.score:predict"})
        return self.registry.register(model, named, mlflow_run_id="run", actor="gate", data_at=datetime(2013, 4, 1, tzinfo=UTC))

    def folder(self, entry: Entry) -> Path:
        return self.releases.path(entry.subject, str(entry.content_hash))

    def statement(self, entry: Entry) -> Path:
        return Path(self.releases.statements.place(entry.subject, str(entry.content_hash), int(entry.version or 0)))

    def key(self, kind: str = "pub") -> Path:
        return self.ring.root / f"{self.entry.payload['key_id']}.{kind}"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def envelope(shop: Shop, entry: Entry, **more: object) -> bytes:
    return canonical({**json.loads(shop.statement(entry).read_bytes()), **more})


def sign(shop: Shop, ring: KeyRing, **more: Any) -> bytes:
    """A whole, well-formed statement about version 1 by another ring, or about other things by the same."""
    files = {path.name: sha256(path.read_bytes()) for path in shop.folder(shop.entry).iterdir()}
    about: dict[str, Any] = {"model": "churn", "version": 1, "content_hash": shop.entry.content_hash, "files": files, "record": RECORD}
    payload = stated(**{**about, **more})
    made = Statements(shelf=FolderShelf(ring.root / "forged"), ring=ring)
    made.write(payload, model="churn", content_hash="0" * 64, version=1)
    return Path(made.place("churn", "0" * 64, 1)).read_bytes()


def test_what_nobody_touched_is_loaded(shop: Shop) -> None:
    for entry in (shop.entry, shop.second, shop.other):
        assert shop.registry.load(entry).content_hash == entry.content_hash


@pytest.mark.parametrize("file", ["weights.npy", "names.json", "record.json", "signature.json", "manifest.json"])
@pytest.mark.parametrize("place", [0, 1, 40, -1])
def test_a_flipped_byte_of_a_release_is_refused_by_the_files_name(shop: Shop, file: str, place: int) -> None:
    path = shop.folder(shop.entry) / file
    content = bytearray(path.read_bytes())
    content[min(place, len(content) - 1)] ^= 1
    rewrite(path, bytes(content))
    with pytest.raises(ReleaseChanged, match=rf"{file} .*since it was released, so it is refused unread"):
        shop.registry.load(shop.entry)


def test_no_byte_of_a_statement_is_free(shop: Shop) -> None:
    path = shop.statement(shop.entry)
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (1, 0x20):
            rewrite(path, content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with pytest.raises((StatementChanged, SignerRefused)):
                shop.registry.load(shop.entry)
    rewrite(path, content)
    assert shop.registry.load(shop.entry).parts["names"] == ["a", "b"]


Harm = Callable[[Shop], object]
HARMS: dict[str, tuple[Harm, type[PlatformError], str]] = {
    "part removed": (lambda shop: (shop.folder(shop.entry) / "weights.npy").unlink(), ReleaseChanged, r"weights\.npy was removed"),
    "record removed": (lambda shop: (shop.folder(shop.entry) / "record.json").unlink(), ReleaseChanged, r"record\.json was removed"),
    "manifest removed": (
        lambda shop: (shop.folder(shop.entry) / "manifest.json").unlink(),
        ReleaseChanged,
        r"manifest\.json is not the one",
    ),
    "part added": (lambda shop: (shop.folder(shop.entry) / "more.json").write_text("1"), ReleaseChanged, r"more\.json was added"),
    "hidden file added": (
        lambda shop: (shop.folder(shop.entry) / ".gitattributes").write_text("*"),
        ReleaseChanged,
        r"\.gitattributes was added",
    ),
    "git folder added": (lambda shop: (shop.folder(shop.entry) / ".git").mkdir(), ReleaseChanged, r"\.git became unreadable"),
    "empty folder added": (lambda shop: (shop.folder(shop.entry) / "empty").mkdir(), ReleaseChanged, "empty became unreadable"),
    "link in the place of a part": (
        lambda shop: linked(shop.folder(shop.entry) / "weights.npy"),
        ReleaseChanged,
        r"weights\.npy became a link",
    ),
    "release removed": (lambda shop: shutil.rmtree(shop.folder(shop.entry)), ReleaseMissing, "is not in"),
    "another release in its place": (
        lambda shop: replaced(shop.folder(shop.entry), shop.folder(shop.second)),
        ReleaseChanged,
        "is not the one that the ledger recorded",
    ),
    "statement removed": (lambda shop: shop.statement(shop.entry).unlink(), StatementMissing, r"1\.dsse\.json is missing"),
    "statement is a link": (lambda shop: linked(shop.statement(shop.entry)), StatementChanged, "is no file"),
    "statement is a pipe": (lambda shop: piped(shop.statement(shop.entry)), StatementChanged, "is something other than a file"),
    "statement emptied": (lambda shop: rewrite(shop.statement(shop.entry), b""), StatementChanged, "is no DSSE envelope"),
    "statement is a list": (lambda shop: rewrite(shop.statement(shop.entry), b"[]"), StatementChanged, "is no DSSE envelope"),
    "statement of version 2 in its place": (
        lambda shop: rewrite(shop.statement(shop.entry), shop.statement(shop.second).read_bytes()),
        StatementForeign,
        "it speaks of .*'version': 2",
    ),
    "statement of another model in its place": (
        lambda shop: rewrite(shop.statement(shop.entry), shop.statement(shop.other).read_bytes()),
        StatementForeign,
        "it speaks of .*'model': 'delay'",
    ),
    "statement about other files": (
        lambda shop: rewrite(shop.statement(shop.entry), sign(shop, shop.ring, files={"weights.npy": "0" * 64})),
        StatementForeign,
        "is not the one that the ledger recorded",
    ),
    "statement about other data": (
        lambda shop: rewrite(shop.statement(shop.entry), sign(shop, shop.ring, record={})),
        StatementForeign,
        "is not the one that the ledger recorded",
    ),
    "statement without a signature": (
        lambda shop: rewrite(shop.statement(shop.entry), envelope(shop, shop.entry, signatures=[])),
        StatementChanged,
        "is no DSSE envelope",
    ),
    "signature of another statement": (
        lambda shop: rewrite(
            shop.statement(shop.entry),
            envelope(shop, shop.entry, signatures=json.loads(shop.statement(shop.second).read_bytes())["signatures"]),
        ),
        StatementChanged,
        "is not what key .* signed",
    ),
    "two signatures": (
        lambda shop: rewrite(
            shop.statement(shop.entry),
            envelope(shop, shop.entry, signatures=json.loads(shop.statement(shop.entry).read_bytes())["signatures"] * 2),
        ),
        StatementChanged,
        "is no DSSE envelope",
    ),
    "payload of another type": (
        lambda shop: rewrite(shop.statement(shop.entry), envelope(shop, shop.entry, payloadType="text/plain")),
        StatementChanged,
        "is spelled in another way",
    ),
    "a field added": (
        lambda shop: rewrite(shop.statement(shop.entry), envelope(shop, shop.entry, more=1)),
        StatementChanged,
        "is spelled in another way",
    ),
    "signed by a foreign key": (
        lambda shop: rewrite(shop.statement(shop.entry), sign(shop, KeyRing(shop.ring.root.parent / "foreign"))),
        SignerRefused,
        "key '[0-9a-f]{16}' is not in the ring",
    ),
    "public key removed": (lambda shop: shop.key().unlink(), SignerRefused, "is not in the ring"),
    "public key changed": (lambda shop: rewrite(shop.key(), b"x"), SignerRefused, "does not hold the key that it is named for"),
    "public key of another in its place": (
        lambda shop: rewrite(shop.key(), (shop.ring.root / f"{shop.ring.rotate()}.pub").read_bytes()),
        SignerRefused,
        "does not hold the key that it is named for",
    ),
    "key revoked": (
        lambda shop: shop.ring.revoke(shop.entry.payload["key_id"], why="stolen"),
        SignerRefused,
        r"churn version 1 is not loaded: key .* is revoked \(.*: stolen\)\. .*operate resign churn 1",
    ),
}


def linked(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.with_name("elsewhere").write_bytes(content)
    path.with_name("elsewhere").replace(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced(folder: Path, by: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(by, folder)


@pytest.mark.parametrize("harm", HARMS)
def test_harm_between_registration_and_load_is_refused_and_nothing_is_decoded(
    shop: Shop, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    do, error, sentence = HARMS[harm]
    do(shop)
    monkeypatch.setattr(formats, "FORMATS", ())
    with pytest.raises(error, match=sentence) as refused:
        shop.registry.load(shop.entry)
    assert type(refused.value) is error


def claiming(entry: Entry, **more: object) -> Entry:
    return replace(entry, payload={**entry.payload, **more})


CLAIMS: dict[str, tuple[Callable[[Shop], Entry], type[PlatformError], str]] = {
    "no statement": (lambda shop: claiming(shop.entry, statement_hash=None), NotSigned, r"churn version 1: its ledger entry 1 names no"),
    "another statement": (lambda shop: claiming(shop.entry, statement_hash="0" * 64), StatementForeign, "not the one that the ledger"),
    "another manifest": (lambda shop: claiming(shop.entry, manifest_hash="0" * 64), ReleaseChanged, "not the one that the ledger"),
    "another version": (lambda shop: claiming(shop.entry, version=2), StatementMissing, r"2\.dsse\.json is missing"),
    "another release": (lambda shop: claiming(shop.entry, content_hash=shop.second.content_hash), StatementMissing, "is missing"),
    "another model": (lambda shop: replace(shop.second, subject="delay"), StatementMissing, "is missing"),
    "another model with an equal release": (
        lambda shop: replace(shop.entry, subject="delay"),
        StatementForeign,
        "not the one that the ledger",
    ),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_entry_that_says_something_else_than_was_signed_loads_nothing(shop: Shop, claim: str) -> None:
    forged, error, sentence = CLAIMS[claim]
    with pytest.raises(error, match=sentence):
        shop.registry.load(forged(shop))


def test_a_version_replayed_under_another_name_with_its_statement_is_refused(shop: Shop) -> None:
    replayed = replace(shop.second, subject="delay")
    shutil.copytree(shop.folder(shop.second), shop.folder(replayed))
    shutil.copytree(shop.statement(shop.second).parent, shop.statement(replayed).parent)
    with pytest.raises(StatementForeign, match=r"delay version 2: .*speaks of .*'model': 'churn'"):
        shop.registry.load(replayed)


def test_a_version_replayed_under_another_number_with_its_statement_is_refused(shop: Shop) -> None:
    replayed = claiming(shop.entry, version=7)
    shutil.copy(shop.statement(shop.entry), shop.statement(replayed))
    with pytest.raises(StatementForeign, match=r"churn version 7: .*speaks of .*'version': 1"):
        shop.registry.load(replayed)


def test_a_release_that_a_signed_statement_does_not_describe_is_refused(shop: Shop) -> None:
    path = shop.statement(shop.entry)
    rewrite(path, sign(shop, shop.ring, files={"weights.npy": "0" * 64}))
    said = json.loads(path.read_bytes())["payload"]
    recorded = claiming(shop.entry, statement_hash=sha256(base64.b64decode(said)))
    with pytest.raises(ReleaseChanged, match=r"manifest\.json is not what the signed statement says"):
        shop.registry.load(recorded)


@pytest.mark.parametrize("field", ["statement_hash", "key_id", "content_hash", "version"])
def test_a_ledger_row_that_names_another_statement_breaks_the_chain(shop: Shop, field: str) -> None:
    ledger = shop.registry.ledger()
    forged = canonical({**shop.entry.payload, field: shop.second.payload[field] if field != "key_id" else "0" * 16}).decode()
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_no_update"))
        connection.execute(sa.text("UPDATE ledger SET payload = :payload WHERE seq = 1"), {"payload": forged})
    with pytest.raises(LedgerTampered, match="ledger entry 1"):
        ledger.verify()


def test_a_release_by_its_content_hash_is_checked_like_any_and_one_that_was_never_registered_is_refused(shop: Shop) -> None:
    assert shop.registry.released("churn", str(shop.entry.content_hash)).content_hash == shop.entry.content_hash
    with pytest.raises(NeverRegistered, match=r"churn: release [0-9a-f]{12} was never registered, so no signed statement vouches for it"):
        shop.registry.released("churn", shop.releases.write("churn", {"weight": 3.0}, RECORD, {}))
    shop.statement(shop.entry).unlink()
    with pytest.raises(StatementMissing):
        shop.registry.released("churn", str(shop.entry.content_hash))


def test_a_statement_says_what_a_version_was_made_of_in_the_words_of_its_standards(shop: Shop) -> None:
    said = json.loads(shop.statement(shop.entry).read_bytes())
    payload = json.loads(base64.b64decode(said["payload"]))
    build = payload["predicate"]["buildDefinition"]
    assert said["payloadType"] == "application/vnd.in-toto+json"
    assert (payload["_type"], payload["predicateType"]) == ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1")
    assert {one["name"]: one["digest"]["sha256"] for one in payload["subject"]} == {
        path.name: sha256(path.read_bytes()) for path in shop.folder(shop.entry).iterdir()
    }
    assert build["externalParameters"] == {"model": "churn", "version": 1, "content_hash": shop.entry.content_hash}
    own = {name: value for name, value in RECORD["identity"].items() if name not in {"tables", "views", "lock"}}
    assert build["internalParameters"] == own
    assert [(one["name"], one.get("annotations")) for one in build["resolvedDependencies"]] == [
        ("table/shop/orders", {"version": 12}),
        ("shop_orders", None),
        ("requirements-serve.lock", None),
        ("git", {"dirty": False}),
    ]
    assert payload["predicate"]["runDetails"]["metadata"] == {"invocationId": "r1"}


def test_a_models_folder_holds_its_releases_and_nothing_else(shop: Shop) -> None:
    held = {path.name for path in shop.folder(shop.entry).parent.iterdir()}
    assert held == {shop.entry.content_hash, shop.second.content_hash}


def test_the_encoding_before_signing_is_that_of_the_dsse_specification() -> None:
    assert authenticated(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


def test_what_an_old_key_signed_is_loaded_after_a_rotation_and_signed_anew_by_a_resigning(shop: Shop) -> None:
    newer = shop.ring.rotate()
    assert shop.registry.load(shop.entry).content_hash == shop.entry.content_hash
    shop.ring.revoke(shop.entry.payload["key_id"], why="stolen")
    with pytest.raises(SignerRefused):
        shop.registry.load(shop.entry)
    again = shop.releases.statements.resign(shop.entry)
    assert again == {"statement_hash": shop.entry.payload["statement_hash"], "key_id": newer}
    assert shop.registry.load(shop.entry).content_hash == shop.entry.content_hash
    with pytest.raises(SignerRefused, match="churn version 2"):
        shop.registry.load(shop.second)


def test_nothing_but_what_the_ledger_recorded_is_signed_again(shop: Shop) -> None:
    for content, error in ((shop.statement(shop.second).read_bytes(), StatementForeign), (b"{}", StatementChanged)):
        rewrite(shop.statement(shop.entry), content)
        with pytest.raises(error):
            shop.releases.statements.resign(shop.entry)


def test_a_payload_that_states_nothing_is_not_signed_again(shop: Shop) -> None:
    rewrite(shop.statement(shop.entry), envelope(shop, shop.entry, payload="AAAA"))
    with pytest.raises(StatementForeign, match="it speaks of nothing that we state"):
        shop.releases.statements.resign(shop.entry)


def test_registering_again_after_a_kill_keeps_the_statement_and_mends_one_that_was_left_broken(shop: Shop) -> None:
    named = str(shop.entry.content_hash)
    path = Path(shop.releases.statements.place("churn", named, 9))
    first = shop.releases.attest("churn", named, version=9)
    stamp = path.stat().st_mtime_ns
    assert shop.releases.attest("churn", named, version=9) == first
    assert path.stat().st_mtime_ns == stamp
    rewrite(path, b"half")
    assert shop.releases.attest("churn", named, version=9) == first
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_statement_that_cannot_be_written_registers_nothing(shop: Shop) -> None:
    named = shop.releases.write("churn", {"weight": 3.0}, RECORD, {})
    Path(shop.releases.statements.place("churn", named, 3)).parent.write_text("a file where the folder should be")
    with pytest.raises(ReleaseNotWritten, match="churn: the release could not be written to"):
        shop.registry.register("churn", named, mlflow_run_id="run", actor="gate", data_at=datetime(2013, 4, 1, tzinfo=UTC))
    assert len(shop.registry.ledger().entries("churn")) == 2


def test_a_ring_that_cannot_sign_registers_nothing(shop: Shop) -> None:
    shop.key("key").unlink()
    with pytest.raises(PlatformError, match="no private key that is still good"):
        shop.release("churn", 3.0)
    assert len(shop.registry.ledger().entries("churn")) == 2


def test_a_worker_without_private_keys_loads(shop: Shop) -> None:
    shop.key("key").unlink()
    assert shop.registry.load(shop.entry).content_hash == shop.entry.content_hash
