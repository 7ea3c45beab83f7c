"""What every release store promises: whole or not there, the first stays, nothing is read that was not checked. A folder, and a real S3."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.lifecycle.tracing import versions
from resources.registry import releases
from resources.registry.releases import ReleaseChanged, ReleaseMissing, Releases
from resources.registry.s3_shelf import ReleaseStoreFailed, S3Shelf
from resources.registry.shelf import NoShelf
from resources.registry.statement import SignerRefused, StatementChanged, StatementMissing
from resources.registry.states import Entry
from resources.security.keys import KeysNowhere, ring_for
from tests.ports.release_stores import BUCKET, Bucket, Folder, Place
from tests.racing import raced
from tests.resources.registry.records import whole
from tests.servers.proxy import Proxy, proxy
from tests.servers.s3 import S3, s3

PARTS: dict[str, object] = {"weights": np.arange(6.0).reshape(2, 3), "categories": {"origin": ["EWR", "JFK"], "limit": 0.1}}
SIGNATURE = {"entry": "acme.score:predict", "features": ["origin"]}
FILES = ["categories.json", "manifest.json", "record.json", "signature.json", "weights.npy"]
NOON = datetime(2020, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3(BUCKET) as running:
        yield running


@pytest.fixture
def way(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way from us to S3."""
    with proxy(server.port) as between:
        for name, value in {**server.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{between.port}"}.items():
            monkeypatch.setenv(name, value)
        yield between


@pytest.fixture
def bucket(tmp_path: Path, server: S3, way: Proxy) -> Bucket:
    del way
    return Bucket(tmp_path, server)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Folder(tmp_path) if request.param == "folder" else request.getfixturevalue("bucket")


def write(place: Place, **provenance: Any) -> str:
    return place.releases().write("churn", PARTS, whole(**provenance), SIGNATURE)


def registered(place: Place, **provenance: object) -> Entry:
    return place.registry().register("churn", write(place, **provenance), mlflow_run_id="r", actor="gate", data_at=NOON)


# --- stored once, whole -------------------------------------------------------------------------------------------------------------


def test_a_release_comes_back_as_it_went_in_and_is_called_the_same_wherever_it_lies(place: Place, tmp_path: Path) -> None:
    named = write(place)
    found = place.releases().load("churn", named)
    assert (found.parts["weights"] == PARTS["weights"]).all()
    assert (found.parts["categories"], found.record, found.signature) == (PARTS["categories"], whole(), SIGNATURE)
    assert sorted(place.files("churn", named)) == FILES
    assert named == Releases(tmp_path / "another").write("churn", PARTS, whole(dagster_run="another"), SIGNATURE)


def test_a_second_write_changes_nothing_not_even_provenance(place: Place) -> None:
    named = write(place)
    before = place.files("churn", named)
    assert write(place, dagster_run="another") == named
    assert place.files("churn", named) == before


WRITER = """
import sys
from resources.registry.releases import Releases
from resources.security.keys import KeyRing
from pathlib import Path
root, keys, who = sys.argv[1:]
releases = Releases(root, KeyRing(Path(keys)))
releases.shelf.kept("churn")
print("ready", flush=True)
sys.stdin.readline()
print(releases.write("churn", {"weights": list(range(10_000))}, {"identity": {}, "provenance": {"who": who}}, {}))
"""


def test_of_writers_at_once_all_succeed_and_one_provenance_stays(place: Place) -> None:
    command = [sys.executable, "-c", WRITER, place.root, str(place.keys)]
    said = {*raced([[*command, who] for who in "abc"])}
    (named,) = said
    assert [one.content_hash for one in place.releases().shelf.kept("churn")] == [named]
    assert place.releases().record("churn", named)["provenance"]["who"] in "abc"


KILLED = """
import os, signal, socket, sys
from pathlib import Path
from resources.registry.releases import Releases
from resources.security.keys import KeyRing
root, keys, where = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def half(self, content, *flags):
    if len(content) < 30_000:
        return send(self, content, *flags)
    send(self, content[: len(content) // 2])
    die()
releases, real, left, send = Releases(root, KeyRing(Path(keys))), os.fsync, [3], socket.socket.sendall
def fsync(handle):
    real(handle)
    left[0] -= 1
    if left[0] == 0:
        die()
if not root.startswith("s3:"):
    os.fsync = fsync
elif where == "sent":
    socket.socket.sendall = half
else:
    releases.shelf._client.meta.events.register({"before": "before-send.s3.PutObject", "after": "after-call.s3.PutObject"}[where], die)
releases.write("churn", {"weights": [float(n) for n in range(40_000)]}, {"identity": {}, "provenance": {"who": "killed"}}, {})
"""


@pytest.mark.parametrize("where", ["before", "sent", "after"])
def test_a_writer_killed_half_way_leaves_a_whole_release_or_none_and_the_same_again_completes_it(place: Place, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, place.root, str(place.keys), where], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = place.releases().shelf.kept("churn")
    for one in left:
        assert place.releases().record("churn", one.content_hash)["provenance"]["who"] == "killed"
    named = place.releases().write("churn", {"weights": [float(n) for n in range(40_000)]}, {"identity": {}}, {})
    assert [one.content_hash for one in left] in ([], [named])
    assert place.releases().load("churn", named).parts["weights"][-1] == 39_999.0


# --- checked before it is read ------------------------------------------------------------------------------------------------------


def read_too_early(*_: object) -> None:
    pytest.fail("read before all was checked")


@pytest.mark.parametrize("file", FILES)
def test_a_changed_byte_in_any_file_is_refused_by_its_name_before_anything_is_read(
    place: Place, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registered(place)
    monkeypatch.setattr(releases, "decoded", read_too_early)
    files = place.files("churn", str(entry.content_hash))
    for at in (0, len(files[file]) // 2, -1):
        harmed = bytearray(files[file])
        harmed[at] ^= 1
        place.put("churn", str(entry.content_hash), {**files, file: bytes(harmed)})
        with pytest.raises(ReleaseChanged, match=rf"release churn/.*: {file} .*Restore {place.root}/churn/{entry.content_hash} "):
            place.registry().load(entry)


@pytest.mark.parametrize("file", FILES)
def test_a_removed_file_is_refused_by_its_name(place: Place, file: str) -> None:
    named = write(place)
    files = place.files("churn", named)
    place.put("churn", named, {name: content for name, content in files.items() if name != file})
    with pytest.raises(ReleaseChanged, match=f"{file} was removed"):
        place.releases().load("churn", named)


@pytest.mark.parametrize("file", ["extra.json", ".gitattributes"])
def test_a_file_that_was_added_is_refused_by_its_name(place: Place, file: str) -> None:
    named = write(place)
    place.put("churn", named, {**place.files("churn", named), file: b"1"})
    with pytest.raises(ReleaseChanged, match=f"{file} was added"):
        place.releases().load("churn", named)


def test_a_release_under_another_name_is_refused(place: Place) -> None:
    named = write(place)
    place.put("delay", named, place.files("churn", named))
    place.put("churn", "b" * 64, place.files("churn", named))
    for model, content_hash in (("delay", named), ("churn", "b" * 64)):
        with pytest.raises(ReleaseChanged, match=r"manifest\.json was changed"):
            place.releases().load(model, content_hash)


@pytest.mark.parametrize(("model", "name"), [("churn", "a" * 64), ("../churn", "a" * 64), ("churn", "../" + "a" * 61), ("churn", "")])
def test_what_is_not_there_or_leads_out_of_the_store_is_missing_with_what_to_do(place: Place, model: str, name: str) -> None:
    with pytest.raises(ReleaseMissing, match=rf"is not in {place.root}, .* Materialize model/"):
        place.releases().load(model, name)


# --- stated, listed, freed ----------------------------------------------------------------------------------------------------------


def test_a_statement_that_was_changed_or_removed_is_refused_by_its_place(place: Place) -> None:
    entry = registered(place)
    statement = place.releases().statements.place("churn", str(entry.content_hash), 1)
    assert statement == f"{place.root}/.statements/churn/{entry.content_hash}/1.dsse.json"
    for content, error in ((b"{}", StatementChanged), (None, StatementMissing)):
        place.put_statement(statement, content)
        with pytest.raises(error, match=statement):
            place.registry().load(entry)


def test_what_a_revoked_key_signed_is_refused_until_it_is_signed_again(place: Place) -> None:
    entry = registered(place)
    assert place.registry().load(entry).content_hash == entry.content_hash
    place.registry().ring("release").rotate()
    place.registry().ring("release").revoke(entry.payload["key_id"], why="stolen")
    with pytest.raises(SignerRefused, match="is revoked"):
        place.registry().load(entry)
    place.releases().statements.resign(entry)
    assert place.registry().load(entry).content_hash == entry.content_hash


def test_what_is_kept_is_listed_by_model_with_its_size_and_age_and_can_be_freed(place: Place) -> None:
    first, other = registered(place).content_hash, place.releases().write("churn", {"n": 1}, whole(), SIGNATURE)
    place.releases().write("churning", {"n": 2}, whole(), SIGNATURE)
    shelf = place.releases().shelf
    assert {one.content_hash for one in shelf.kept("churn")} == {first, other}
    for one in shelf.kept("churn"):
        size = sum(map(len, place.files("churn", one.content_hash).values()))
        assert size <= one.size <= size + 200
        assert abs((one.at - datetime.now(UTC)).total_seconds()) < 60
    place.put_statement(f"{place.root}/churn/notes.release", b"of somebody else")
    assert len(shelf.kept("churn")) == 2
    for _ in range(2):  # the second time by whoever comes after a kill
        shelf.free("churn", str(first))
        assert [one.content_hash for one in shelf.kept("churn")] == [other]
    with pytest.raises(ReleaseMissing):
        place.releases().verify("churn", str(first))
    assert write(place) == first


def test_lineage_reads_the_record_of_every_version_from_the_store(place: Place) -> None:
    registered(place)
    (made,) = versions(place.registry(), ["churn"])
    assert (made.record, made.features) == (whole(), ("origin",))


def test_a_release_is_to_be_had_as_a_folder_of_this_machine(place: Place) -> None:
    named = write(place)
    with place.releases().folder("churn", named) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == place.files("churn", named)
    assert place.releases().record("churn", named) == whole()


# --- S3 alone -----------------------------------------------------------------------------------------------------------------------


def test_no_byte_of_the_object_is_free(bucket: Bucket) -> None:
    named = bucket.releases().write("churn", {"n": 1}, {"identity": {}}, {})
    store, content = bucket.releases(), bucket.read("churn", named)
    recorded = store.verify("churn", named)
    flipped = (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content)))
    for harmed in (*flipped, content + b"x", content[:-1], b"", b"[]\n"):
        bucket.client.put_object(**bucket.object("churn", named), Body=harmed)
        with pytest.raises(ReleaseChanged):
            store.load("churn", named, manifest_hash=recorded)


def seen_too_early(*_: object) -> bool:
    return False


def test_where_the_look_before_the_write_comes_too_early_the_condition_keeps_the_first(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write(bucket)
    before = bucket.read("churn", named)
    monkeypatch.setattr(S3Shelf, "_there", seen_too_early)
    assert write(bucket, dagster_run="another") == named
    assert bucket.read("churn", named) == before


def test_a_lost_answer_is_asked_for_again_and_the_release_is_there_once(bucket: Bucket, way: Proxy) -> None:
    way.loses = b"PUT /"
    named = write(bucket)
    assert way.loses == b""
    assert [one.content_hash for one in bucket.releases().shelf.kept("churn")] == [named]


def test_while_s3_is_away_nothing_is_half_registered_and_the_same_again_completes_it(bucket: Bucket, way: Proxy) -> None:
    named = write(bucket)
    way.refuses = True
    began = time.monotonic()
    with pytest.raises(ReleaseStoreFailed, match=rf"release store {bucket.root}/churn/\w+\.release: .*4 attempts.* AWS_ENDPOINT_URL"):
        write(bucket)
    with pytest.raises(ReleaseStoreFailed, match="nothing was registered"):
        bucket.registry().register("churn", named, mlflow_run_id="r", actor="gate", data_at=NOON)
    assert time.monotonic() - began < 60
    assert bucket.registry().ledger().entries("churn") == ()
    way.refuses = False
    assert registered(bucket).version == 1


def test_a_bucket_that_is_not_there_is_said_by_name(bucket: Bucket) -> None:
    bucket.root = "s3://nowhere/releases"
    with pytest.raises(ReleaseStoreFailed, match=r"release store s3://nowhere/releases/churn/.*NoSuchBucket"):
        write(bucket)
    with pytest.raises(ReleaseStoreFailed, match="NoSuchBucket"):
        bucket.releases().load("churn", "a" * 64)


def test_what_was_loaded_once_is_loaded_while_s3_is_away(bucket: Bucket, way: Proxy) -> None:
    entry = registered(bucket)
    bucket.registry().load(entry)
    way.refuses = True
    assert bucket.registry().load(entry).record == whole()


@pytest.mark.parametrize("file", ["weights.npy", "manifest.json", "record.json"])
def test_a_copy_is_believed_no_more_than_the_store(bucket: Bucket, file: str) -> None:
    entry = registered(bucket)
    bucket.registry().load(entry)
    copy = bucket.releases().path("churn", str(entry.content_hash)) / file
    sound = copy.read_bytes()
    copy.chmod(0o644)
    copy.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert bucket.registry().load(entry).record == whole()
    assert copy.read_bytes() == sound
    copy.chmod(0o644)
    copy.write_bytes(b"x")
    bucket.put("churn", str(entry.content_hash), {**bucket.files("churn", str(entry.content_hash)), file: b"x"})
    with pytest.raises(ReleaseChanged, match=rf"{file} .*Restore {bucket.root}"):
        bucket.registry().load(entry)


def test_copies_that_cannot_be_kept_hinder_nobody(bucket: Bucket) -> None:
    entry = registered(bucket)
    bucket.copies.write_text("a file where the folder should be")
    assert bucket.registry().load(entry).record == whole()


def test_only_the_newest_releases_of_a_model_are_copied(bucket: Bucket) -> None:
    names = [bucket.releases().write("churn", {"n": number}, whole(), SIGNATURE) for number in range(6)]
    for named in names:
        bucket.registry().load(bucket.registry().register("churn", named, mlflow_run_id="r", actor="gate", data_at=NOON))
    assert {path.name for path in (bucket.copies / "churn").iterdir()} == set(names[-4:])


def test_keys_do_not_lie_beside_releases_in_s3() -> None:
    with pytest.raises(KeysNowhere, match=r"releases are in s3://b/r, .* MLOPS_KEYS or keys_root"):
        ring_for("release", keys_root="", releases_root="s3://b/r")
    assert ring_for("release", keys_root="/keys", releases_root="s3://b/r").root == Path("/keys/release")


def test_a_root_that_keeps_no_promise_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NoShelf, match=r"cannot lie in gs://b/r: .* MLOPS_RELEASES_URI"):
        Releases("gs://b/r", ring_for("release", keys_root=str(tmp_path), releases_root=""))
    assert Releases(f"file://{tmp_path}", ring_for("release", keys_root=str(tmp_path), releases_root="")).root == str(tmp_path)


def test_a_folder_store_asks_for_no_library_of_s3(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom resources.registry.releases import Releases\nReleases(sys.argv[1]).write('m', {'n': 1}, {'identity': {}}, {})\n"
    )
    code += "print([name for name in ('boto3', 'botocore') if name in sys.modules])"
    done: Any = subprocess.run([sys.executable, "-c", code, str(tmp_path / "releases")], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
