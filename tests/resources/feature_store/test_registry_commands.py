"""The stock ``feast`` command on the platform's folder, on SQLite and on a Postgres whose password only ``PGPASSWORD`` knows."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from resources.feature_store import configuration
from resources.feature_store.refusals import RefusedRegistry, UnreadableConfiguration
from resources.feature_store.store import FeatureStore
from tests.resources.feature_store.generations import Place
from tests.resources.feature_store.scenes import DEMAND, NOON, PRICE, SALES, examples, filled, world
from tests.servers.postgres import postgres

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    folder = tmp_path_factory.mktemp("home")
    filled(folder)
    if request.param == "sqlite":
        yield Place(folder=folder)
        return
    with postgres() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGPASSWORD", server.password)
        place = Place(folder=folder, url=server.database(), password=server.password)
        place.store().apply([SALES, PRICE], [DEMAND])
        yield place


def feast(place: Place, *command: str) -> "subprocess.CompletedProcess[str]":
    """The command as a user types it, in a process of its own."""
    program = [Path(sys.executable).with_name("feast"), "-c", place.store().home, *command]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(place.folder), "PGPASSWORD": place.password}
    return subprocess.run(program, cwd=place.folder, env=environment, capture_output=True, text=True, check=False)


def test_feast_apply_refuses_says_what_to_do_and_leaves_the_registry(place: Place) -> None:
    before = place.store().plan([], [])
    done = feast(place, "apply")
    assert done.returncode == 1
    assert "Nothing was changed: features are declared in the project's catalogue, not in this folder." in done.stderr
    assert "Materialize feature/shops/registry to register them." in done.stderr
    assert place.store().plan([], []) == before
    assert not place.store().plan([SALES, PRICE], [DEMAND])


def test_feast_describes_a_service_and_materializes_what_the_platform_then_reads(place: Place) -> None:
    described = feast(place, "feature-services", "describe", "demand")
    assert "view/shop_sales: 1 sales-1" in described.stdout
    loaded = feast(place, "materialize", "2013-01-01T00:00:00", "2013-01-31T12:00:00")
    assert (loaded.returncode, "offer_price" in loaded.stdout) == (0, True), loaded.stderr
    online = place.store().online("demand", examples([("north", 1, NOON)]).select("shop", "article"), at=NOON)
    assert online.select("shop_sales__count_3h", "offer_price__price").row(0) == (3, 9.5)
    assert not place.store().plan([SALES, PRICE], [DEMAND])
    assert feast(place, "materialize-incremental", "2013-02-01T00:00:00", "-v", "offer_price").returncode == 0
    assert not place.store().plan([SALES, PRICE], [DEMAND])


def test_an_apply_after_feast_teardown_registers_everything_again(tmp_path: Path) -> None:
    place = Place(folder=tmp_path)
    store = filled(tmp_path)
    assert feast(place, "teardown").returncode == 0
    assert store.plan([SALES, PRICE], [DEMAND]).written == ("shop_sales", "offer_price", "demand")

    store.apply([SALES, PRICE], [DEMAND])

    assert not store.plan([SALES, PRICE], [DEMAND])
    assert store.historical("demand", examples([("north", 1, NOON)]))["shop_sales__count_3h"].to_list() == [3]


@pytest.mark.parametrize("url", ["registry.db", "data/registry.pb", "s3://bucket/registry.pb", "mysql://host/features"])
def test_a_registry_that_is_no_database_of_ours_is_refused_when_it_is_configured(tmp_path: Path, url: str) -> None:
    with pytest.raises(RefusedRegistry, match=f"feature registry '{url}' in the feature store's settings is refused: it has"):
        FeatureStore(home=str(tmp_path), project="shops", lake=world(tmp_path).lake, registry_url=url)


@pytest.mark.parametrize("registry", ["registry.db", {"path": "registry.db"}, {"registry_type": "file", "path": "registry.db"}, None])
def test_a_file_registry_that_somebody_wrote_into_the_folder_is_refused_and_left(tmp_path: Path, registry: object) -> None:
    store = filled(tmp_path)
    path = Path(store.home) / "feature_store.yaml"
    said = yaml.safe_load(path.read_text())
    path.write_text(text := yaml.safe_dump({**said, "registry": registry}))
    with pytest.raises(RefusedRegistry, match=r"'file' in .*feature_store\.yaml is refused: it has no lock, and two applies at once"):
        store.apply([SALES, PRICE], [DEMAND])
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no settings"),
        ("project: shops\nregistry: {registry_type: sql, path: [", "cannot be read"),
        ("just words", "holds no settings"),
    ],
)
def test_a_half_written_configuration_is_named_and_left(tmp_path: Path, text: str, why: str) -> None:
    store = filled(tmp_path)
    path = Path(store.home) / "feature_store.yaml"
    path.write_text(text)
    with pytest.raises(UnreadableConfiguration, match=rf"feature_store\.yaml {why}.*left as it is.* Move it away"):
        store.historical("demand", examples([("north", 1, NOON)]))
    assert path.read_text() == text


def test_the_folder_of_another_project_is_not_taken_over(tmp_path: Path) -> None:
    store = filled(tmp_path)
    other = FeatureStore(home=store.home, project="stalls", lake=store.lake)
    with pytest.raises(UnreadableConfiguration, match="belongs to project 'shops', not to 'stalls'"):
        other.apply([], [])
    assert not store.plan([SALES, PRICE], [DEMAND])


def test_what_keeps_feast_apply_from_emptying_the_registry_comes_back(tmp_path: Path) -> None:
    store = filled(tmp_path)
    guard = Path(store.home) / configuration.GUARD
    guard.unlink()
    store.plan([SALES, PRICE], [DEMAND])
    assert "raise SystemExit" in guard.read_text()
