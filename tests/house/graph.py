"""The asset graph in lines that people read: `python -m tests.house.graph` writes tests/house/graph.txt anew, on purpose only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg

from mlops_assets.build import build
from mlops_assets.flights.catalogue import CATALOGUE
from resources.settings import Settings

GOLDEN: Final = Path(__file__).with_name("graph.txt")


def definitions(settings: Settings) -> dg.Definitions:
    """The flights' definitions in an environment."""
    return build(CATALOGUE, settings)


def lines(defs: dg.Definitions) -> Iterator[str]:
    """One line an asset: key, what it is made of, group, kinds, owner, level, checks; then jobs and sensors."""
    graph = defs.resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        checks = sorted(check.name for check in node.check_keys)
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)) or "-"
        yield (
            f"{key.to_user_string()} <- {parents} · {node.group_name} · {' '.join(sorted(node.kinds))} · {' '.join(node.owners)}"
            f" · {node.tags.get('level')} · {' '.join(checks)}"
        )
    repository = defs.get_repository_def()
    yield from sorted(f"job {name}" for name in repository.job_names if not name.startswith("__"))
    yield from sorted(f"sensor {sensor.name}" for sensor in repository.sensor_defs)


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(lines(definitions(Settings(home=Path("/nowhere"))))) + "\n")
