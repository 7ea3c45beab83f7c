"""What a training set costs against the join written by hand, against Feast's other stores, and as it grows."""

from collections.abc import Iterator

from tests.benchmarks.features.figure import Figure


def figures() -> Iterator[Figure]:
    """Every figure of the offline side."""
    yield from ()
