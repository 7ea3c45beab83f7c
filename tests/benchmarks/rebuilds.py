"""Rebuild every version of a replayed home: `MLOPS_HOME=... python -m tests.benchmarks.rebuilds` after `make demo`; says what differs."""

from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.lifecycle.rebuild import rebuilt
from resources.errors import PlatformError
from resources.profiles import select
from resources.settings import Settings
from tests.benchmarks.features.figure import Figure


def main() -> None:
    """One line a version, then how many came out equal."""
    world, equal, seconds = select(Settings.from_environment(), project=CATALOGUE.project), 0, 0.0
    versions = [
        (spec.name, one) for spec in CATALOGUE.models for one in world.registry.ledger().entries(spec.name) if one.kind == "registered"
    ]
    for model, one in versions:
        try:
            done = rebuilt(world.registry, world.lake, package=CATALOGUE.package, model=model, version=one.version or 0)
            equal, seconds = equal + 1, seconds + done.seconds
            print(done, flush=True)
        except PlatformError as problem:
            print(problem, flush=True)
    print(Figure(name="rebuilt_equal", value=equal, unit="versions", goal=">=", bound=len(versions)).line())
    print(Figure(name="rebuild", value=seconds / max(1, equal), unit="s, mean").line())


if __name__ == "__main__":
    main()
