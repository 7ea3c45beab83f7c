"""Loads Feast. The only place that does: it costs 9 CPU seconds as it comes and half of that here.

Feast compiles run-time type checks into its classes (typeguard) and changes the process's warning filters: neither happens here.
Pinned by ``tests/upstream/test_feast.py``.
"""

import sys
import warnings
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def _unchecked(target: T) -> T:
    return target


def load_feast() -> ModuleType:
    """The ``feast`` package, imported once."""
    if "feast.feature_store" in sys.modules:
        return sys.modules["feast"]
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked  # pyright: ignore[reportAttributeAccessIssue]  # saves 4.5 CPU s a process
    try:
        with warnings.catch_warnings():
            import feast

            return feast
    finally:
        typeguard.typechecked = checked
