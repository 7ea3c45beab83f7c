"""The graph changes on purpose only and is the same everywhere; every asset has owner, group, description, level and contract check."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetNode

from resources.settings import Environment, Settings
from tests.house.graph import GOLDEN, definitions, lines

NO_CHECK = frozenset({"quarantine"})
"""What breaks a contract is not held to it."""


def nodes() -> list[AssetNode]:
    """Every asset."""
    graph = definitions(Settings(home=Path("/nowhere"))).resolve_asset_graph()
    return [graph.get(key) for key in sorted(graph.get_all_asset_keys())]


@pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated")  # dagster's, on a resource inside a resource
@pytest.mark.parametrize("environment", ["embedded", "production"])
def test_the_graph_is_the_golden_one_in_every_environment_without_a_secret(environment: Environment, tmp_path: Path) -> None:
    found = list(lines(definitions(Settings(home=tmp_path, environment=environment))))
    assert found == GOLDEN.read_text().splitlines(), "If the change is meant: python -m tests.house.graph"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("node", nodes(), ids=lambda node: node.key.to_user_string())
def test_every_asset_says_what_it_is_and_whose(node: AssetNode) -> None:
    stage, noun, _ = node.key.path
    assert node.group_name == f"{noun}/{stage}"
    assert node.tags["stage"] == stage
    assert node.tags["level"] in {"public", "internal", "confidential", "restricted"}
    assert all(owner.startswith("team:") for owner in node.owners)
    assert node.owners
    assert node.kinds
    assert len(node.description or "") > 20


@pytest.mark.parametrize("node", [node for node in nodes() if node.key.path[0] not in NO_CHECK], ids=lambda node: node.key.to_user_string())
def test_every_asset_has_a_schema_and_a_blocking_contract_check(node: AssetNode) -> None:
    schema = node.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema | dg.TableSchemaMetadataValue)
    specs = definitions(Settings(home=Path("/nowhere"))).resolve_asset_graph().get_check_spec(dg.AssetCheckKey(node.key, "contract"))
    assert specs.blocking
