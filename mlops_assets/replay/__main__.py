"""``python -m mlops_assets.replay``: sets what libraries read once, as they are loaded; then it is ``command``."""

import sys
from collections.abc import Mapping
from typing import Final

from mlops_assets import greedy  # noqa: F401  # pyright: ignore[reportUnusedImport]  importing greedy is its check
from resources.settings import be_quiet

TUNED: Final[Mapping[str, str]] = {
    "GOMP_SPINCOUNT": "1000",  # LightGBM otherwise spins on cores that others want, ten times as long; asleep, two cores are one
    "_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:10000",  # Polars otherwise gives memory back after half a second: a fifth of its time
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command in a process that is set up for it."""
    be_quiet(**TUNED)
    from mlops_assets.replay import command

    return command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
