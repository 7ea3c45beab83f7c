"""What the tests of the lifecycle share."""

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance without runs, in memory."""
    with dg.DagsterInstance.ephemeral() as found:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
        yield found
