"""What a replay shows at the end: a line a month, and one prediction traced to the tables it came from. Reads; computes nothing."""

import dagster as dg

from mlops_assets.specs import Catalogue
from resources.profiles import Resources


def story(instance: dg.DagsterInstance, catalogue: Catalogue, resources: Resources, months: list[str]) -> str:
    """The closing print."""
    return f"{catalogue.project}: {len(months)} months"
