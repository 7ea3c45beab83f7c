"""Names of a project's functions as the rest of the platform needs them: entry points and code versions."""

from collections.abc import Callable
from typing import Any

from resources.code import code_hash


def entry(function: Callable[..., Any]) -> str:
    """``package.module:function``: how a release and a worker name the model's code."""
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def code_version(function: Callable[..., Any], *, package: str) -> str:
    """Hash of the syntax trees behind a function inside its project: editing a comment rebuilds nothing."""
    return code_hash(entry(function), inside=package)
