"""Importing this checks that ``resources`` and ``sensors`` are ours: a folder of the user's own by that name would hide them.

Imported first by what starts the platform; needs nothing of it. Compares places on the path, imports nothing.
"""

import importlib.util
from pathlib import Path
from typing import Final

OURS: Final = ("resources", "sensors")
HOME: Final = Path(__file__).parents[1]


class Shadowed(ImportError):
    """A module of the user's comes before one of the platform's."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(
            f"{place} hides the platform's package {name!r}, so nothing can be loaded. Rename it, or start from another folder: "
            f"{' and '.join(OURS)} are names of the platform."
        )


def refuse_shadows() -> None:
    """Refuse to go on when one of our packages would be imported from elsewhere than where this module lies."""
    for name in OURS:
        found = importlib.util.find_spec(name)
        if found and found.origin and Path(found.origin).resolve() != (HOME / name / "__init__.py").resolve():
            raise Shadowed(name, found.origin)


refuse_shadows()
