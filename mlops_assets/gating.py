"""What a model's gate may ask of a candidate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from resources.monitors.frames import ANSWER, METRICS, Task


@dataclass(frozen=True, kw_only=True)
class Fair:
    """How far groups may be apart on the held-out days: ``metric`` of the values of column ``by`` differs by at most ``most``.

    ``metric`` is one of the task's, or ``prediction``: the mean answer (demographic parity of scores).
    """

    by: Any
    metric: str
    most: float


OPEN_LICENCES: Final = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0")
"""SPDX names of licences under which a model may go live unless a gate says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a candidate must reach on its held-out days: floors, ceilings (``ece`` is calibration), and not to be worse than what is live.

    ``latency_ms``: within it come 99 of 100 single answers through the code that the service runs. ``size_mb``: what its files may weigh.
    """

    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    ceilings: Mapping[str, float] = field(default_factory=dict[str, float])
    against_live: bool = True
    slices: tuple[Any, ...] = ()
    fair: tuple[Fair, ...] = ()
    latency_ms: float | None = None
    size_mb: float | None = None
    licences: tuple[str, ...] = OPEN_LICENCES

    def wrong(self, task: Task) -> Iterator[str]:
        """What this gate bounds and nobody measures."""
        bounded = {*self.floors, *self.ceilings} - set(METRICS[task])
        alike = {one.metric for one in self.fair} - {*METRICS[task], ANSWER}
        for name in sorted(bounded | alike):
            yield f"the gate bounds {name}, which is not measured of a {task}. Use one of {', '.join(METRICS[task])}."
