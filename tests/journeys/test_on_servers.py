"""A project's whole life on Postgres, Redis and S3 instead of one folder: the same tables, features, releases and answers."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from resources.profiles import Resources, embedded
from resources.settings import Settings
from tests.journeys.tiny import MODELS, Kiosk, digests, ledger, replay_arguments
from tests.servers.postgres import postgres
from tests.servers.redis import redis
from tests.servers.s3 import S3, s3


class Remote(Kiosk):
    """A project whose home holds what no server keeps."""

    def world(self) -> Resources:
        """What the variables name."""
        return embedded(Settings.from_environment({**self.environment, "MLOPS_HOME": str(self.home)}), "kiosk")


@dataclass
class Both:
    """One project replayed twice: in a folder, and on servers."""

    here: Kiosk
    there: Remote
    files: S3

    def keys(self, bucket: str) -> list[str]:
        """The objects of a bucket."""
        pages = self.files.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [str(one["Key"]) for page in pages for one in page.get("Contents", ())]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with ExitStack() as stack:
        files, database, online = stack.enter_context(s3("lake", "releases")), stack.enter_context(postgres()), stack.enter_context(redis())
        said = {
            "MLOPS_LAKE_URI": "s3://lake/tables",
            "MLOPS_RELEASES_URI": "s3://releases",
            "MLOPS_LEDGER_URL": database.database().replace("postgresql:", "postgresql+psycopg:"),
            "MLOPS_FEATURES_URL": database.database().replace("postgresql:", "postgresql+psycopg:"),
            "MLOPS_ONLINE_URL": online.url(),
        }
        secret = {"PGPASSWORD": database.password, "REDIS_PASSWORD": online.password, **files.environment()}
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in secret.items():
            patch.setenv(name, value)
        here = Kiosk(tmp_path_factory.mktemp("here"))
        there = Remote(tmp_path_factory.mktemp("there"), **said)
        for replaying in [one.start("-m", "mlops_assets.replay", *replay_arguments()) for one in (here, there)]:
            _, problem = replaying.communicate(timeout=600)
            assert replaying.returncode == 0, problem
        yield Both(here, there, files)
        for one in (here, there):
            one.world().serving.stop()
        there.world().registry.ledger()._engine.dispose()


def test_every_table_has_the_content_that_it_has_in_a_folder(both: Both) -> None:
    expected, lake = digests(both.here), both.there.world().lake
    assert {address: dict(lake.digests(address)) for address in expected} == expected


def test_the_ledger_says_the_same_of_the_same_releases(both: Both) -> None:
    assert ledger(both.there) == ledger(both.here)
    registry = both.there.world().registry
    for entry in registry.ledger().entries():
        if entry.kind == "registered":
            assert registry.load(entry).content_hash == entry.content_hash


def test_releases_and_tables_are_in_s3_and_not_in_the_home(both: Both) -> None:
    hashes = {one.content_hash for one in both.there.world().registry.ledger().entries() if one.kind == "registered"}
    assert {key.rpartition("/")[2].removesuffix(".release") for key in both.keys("releases") if key.endswith(".release")} == hashes
    assert any(key.startswith("tables/table/") and key.endswith(".parquet") for key in both.keys("lake"))
    assert {path.name for path in both.there.home.iterdir()} & {"lake", "releases", "ledger.db"} == set()


def job(kiosk: Kiosk, name: str, config: str) -> tuple[int, str]:
    """Exit status and words of a job."""
    path = kiosk.source.parent / f"{name}.yaml"
    path.write_text(config)
    done = kiosk.run("-m", "dagster", "job", "execute", "-m", "kiosk.definitions", "-j", name, "-c", str(path))
    return done.returncode, done.stdout + done.stderr


def test_a_version_is_made_again_from_the_tables_in_s3_bit_by_bit(both: Both) -> None:
    status, said = job(both.there, "rebuild", "ops: {refit: {config: {model: late, version: 1, anyway: true}}}")
    assert status == 0, said
    assert "equal, " in said


def test_what_nobody_registered_is_freed_in_s3(both: Both) -> None:
    releases = both.there.world().registry.releases()
    forgotten = releases.write("late", {"n": 1}, {"identity": {}}, {})
    status, said = job(both.there, "clean_up", "ops: {free: {config: {apply: true, keep_days: 0}}}")
    assert status == 0, said
    assert f"release late/{forgotten[:12]} (never registered)" in said
    assert [key for key in both.keys("releases") if forgotten in key] == []


def answers(kiosk: Kiosk) -> dict[str, Any]:
    """What the service says of the examples that each live release was probed with."""
    world, said = kiosk.world(), dict[str, Any]()
    world.serving.resume()  # the replay ends with its service
    for model in MODELS:
        live = [one for one in world.registry.ledger().entries(model) if one.kind == "promoted"][-1]
        said[model] = world.serving.predict(model, world.registry.load(live).signature["probe"]["examples"])
    return said


def test_the_service_answers_from_both_alike(both: Both) -> None:
    assert answers(both.there) == answers(both.here)
