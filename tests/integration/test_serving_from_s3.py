"""A real ``bentoml serve`` whose releases lie in S3: what it answered with once, it answers with again while S3 is away."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.serving.controller import NotServed, Serving
from tests.resources.serving.tiny import Tiny
from tests.servers.proxy import Proxy, proxy
from tests.servers.s3 import s3

EXAMPLES = [{"x": 2.0, "k": "b", "n": 1}]


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to an S3 with an empty bucket."""
    with s3("releases") as server, proxy(server.port) as between:
        for name, value in {**server.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{between.port}"}.items():
            monkeypatch.setenv(name, value)
        yield between


def test_a_service_fetches_from_s3_and_starts_again_without_it(tmp_path: Path, way: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "source"), *sys.path])
    tiny = Tiny(tmp_path, releases_root="s3://releases/mlops")
    home, registry = tmp_path / "serving", tiny.registry
    serving = Serving(home=str(home), ledger_url=registry.ledger_url, releases_root=registry.releases_root, keys_root=registry.keys_root)
    first = tiny.release(1.0)
    try:
        serving.ensure([tiny.route()], tiny.package)
        assert serving.predict("tiny", EXAMPLES)["content_hash"] == first
        assert [path.name for path in (home / "copies" / "tiny").iterdir()] == [first]
        serving.stop()
        later = tiny.store({"weights": {"x": 2.0}})
        tiny.registry.register("tiny", later, mlflow_run_id="none", actor="test", data_at=tiny.ledger.entries("tiny")[0].at)
        way.refuses = True
        serving.ensure([tiny.route()], tiny.package)
        assert serving.predict("tiny", EXAMPLES)["content_hash"] == first
        way.refuses = False
        tiny.promote(later)
        serving.wait_for("tiny", later)
        assert serving.predict("tiny", EXAMPLES)["predictions"][0]["prediction"] == 4.0
        way.refuses = True
        with pytest.raises(NotServed, match=f"{first[:12]}.*is not live"):
            serving.wait_for("tiny", first, timeout=0.1)
        assert serving.predict("tiny", EXAMPLES)["content_hash"] == later
    finally:
        serving.stop()
