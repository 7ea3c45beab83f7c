"""What the feature store costs, in ratios taken in one run: `python -m tests.benchmarks.features [part ...]`, all parts without a name.

A part is a module of this package with a function ``figures``; each figure is printed as soon as it is known.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from resources.settings import be_quiet

PARTS: Final = ("offline", "online")


def main(asked: list[str]) -> None:
    """Run the parts asked for."""
    be_quiet()
    for part in asked or [name for name in PARTS if find_spec(f"tests.benchmarks.features.{name}")]:
        for figure in import_module(f"tests.benchmarks.features.{part}").figures():
            print(figure.line(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
