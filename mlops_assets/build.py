"""The roof: a catalogue becomes Definitions."""

import gc
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets import greedy  # noqa: F401  # pyright: ignore[reportUnusedImport]  importing greedy is its check
from mlops_assets.specs import Catalogue
from resources.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from resources.profiles import Resources


def build(catalogue: Catalogue, settings: Settings | None = None, overrides: Mapping[str, object] | None = None) -> "dg.Definitions":
    """The definitions of a project.

    ``settings`` default to the environment's, read once; ``overrides`` replace resources by name, for tests.
    """
    settings = settings or Settings.from_environment()
    with _without_collector():  # Dagster and the lifecycle are imported here: the collector costs as much with them as with the assets
        from mlops_assets.assembly import assembled
        from resources.profiles import select

        resources = select(settings, project=catalogue.project)
        return assembled(catalogue, lake=resources.lake, resources={**named(resources), **(overrides or {})})


def named(resources: "Resources") -> dict[str, object]:
    """The record's fields by name, and the io manager over its lake."""
    from mlops_assets.lifecycle.assets import IO_MANAGER
    from mlops_assets.lifecycle.io import LakeIOManager

    return {**{name: getattr(resources, name) for name in resources.__dataclass_fields__}, IO_MANAGER: LakeIOManager(lake=resources.lake)}


@contextmanager
def _without_collector() -> Generator[None]:
    """What is loaded stays as long as the process: to search it for garbage, now or later, costs a quarter of the load."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
