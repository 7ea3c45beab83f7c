"""One measured number beside its goal, as the benchmarks print it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """``value`` in ``unit`` and the ``bound`` that it shall keep; without a bound it is context for another figure."""

    name: str
    value: float
    unit: str
    goal: Literal["<=", ">=", ""] = ""
    bound: float = 0

    def line(self) -> str:
        """``figure NAME = VALUE UNIT (goal OP BOUND)``."""
        goal = f" (goal {self.goal} {self.bound:g})" if self.goal else ""
        value = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"figure {self.name} = {value} {self.unit}{goal}"
