"""What stops a rebuild before it begins, and what one that came out equal says."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.lifecycle.rebuild import OtherEnvironment, Rebuilt, demand_lock
from mlops_assets.lifecycle.refit import DataGone, pinned
from resources.lake import LocalLake
from resources.registry.identity import sha256
from resources.registry.releases import Release
from resources.serving.lock import LOCK, lock_hash
from tests.mlops_assets.lifecycle.orders import order, orders, release

DONE = Rebuilt(
    model="late", version=2, content_hash="a" * 64, commit="9" * 40, lock="7" * 64, files=3, training_set_equal=True, seconds=8.4
)  # fmt: skip
WHERE = "table/counter/orders"


def trained_with(lock: str) -> Release:
    return replace(release(), record={"identity": {"lock": lock}})


def test_an_environment_that_is_not_the_locks_is_refused_and_each_library_named(tmp_path: Path) -> None:
    text = b"numpy==0.0.1 \\\n    --hash=sha256:0\nnot-there==1.0\n"
    (tmp_path / LOCK).write_bytes(text)
    with pytest.raises(
        OtherEnvironment, match=r"late version 2 was trained with lock .*the lock wants 0\.0\.1; not-there is not installed"
    ):
        demand_lock(tmp_path, trained_with(sha256(text)), version=2)


def test_a_lock_that_nobody_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OtherEnvironment, match="neither its commit nor this platform has that lock"):
        demand_lock(tmp_path, trained_with("0" * 64), version=2)


def test_the_lock_of_this_platform_is_installed_here(tmp_path: Path) -> None:
    demand_lock(tmp_path, trained_with(lock_hash()), version=2)


def test_a_table_is_read_at_the_recorded_version_or_at_the_latest_with_the_same_rows_and_else_not_at_all(tmp_path: Path) -> None:
    lake = LocalLake(root=str(tmp_path))
    for wait in (5.0, 6.0):
        lake.replace(WHERE, orders(order("a", wait=wait)), partition="2020-01")
    before, now = (lake.digests(WHERE, version=number) for number in (0, 1))
    assert pinned(lake, WHERE, 0, before) == 0
    assert pinned(lake, WHERE, 0, now) == 1
    assert pinned(lake, WHERE, 7, now) == 1
    with pytest.raises(DataGone, match="table/counter/orders 2020-01: version 1 and the latest hold other rows"):
        pinned(lake, WHERE, 1, before)


def test_rows_that_a_log_only_claims_are_not_believed(tmp_path: Path) -> None:
    lake = LocalLake(root=str(tmp_path))
    lake.replace(WHERE, orders(order("a")), partition="2020-01")
    said = lake.digests(WHERE)
    other = LocalLake(root=str(tmp_path / "other"))
    other.replace(WHERE, orders(order("a", wait=7.0)), partition="2020-01")
    (mine,), (theirs,) = (list(Path(one.uri(WHERE)).rglob("*.parquet")) for one in (lake, other))
    mine.write_bytes(theirs.read_bytes())
    assert lake.digests(WHERE) == said
    with pytest.raises(DataGone):
        pinned(lake, WHERE, 0, said)


def test_a_rebuild_says_what_was_compared_and_whether_the_training_set_is_still_the_same() -> None:
    assert str(DONE) == (
        "late version 2 aaaaaaaaaaaa: equal, 3 of 3 files, rebuilt in 8 s at commit 999999999999 with lock 777777777777; its training set "
        "equals the one in the lake."
    )
    assert "its training set is not the one that is in the lake now" in str(replace(DONE, training_set_equal=False))
    assert "at commit not recorded with lock" in str(replace(DONE, commit=None))
