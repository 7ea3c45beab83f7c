"""What a replay says while it runs: a line a month, and on a terminal a moving line with the asset that was made last."""

import time
from dataclasses import dataclass, field
from typing import Final, TextIO

import dagster as dg

CLEAR: Final = "\r\033[K"
ROWS: Final = "dagster/row_count"


@dataclass(kw_only=True)
class Progress:
    """Where a replay of ``months`` months is; ``out`` is where it says so."""

    out: TextIO
    months: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    name: str = ""
    since: float = 0.0

    def start(self, name: str) -> None:
        """A month (or the set-up before the first) begins."""
        self.name, self.since = name, time.monotonic()

    def made(self, what: dg.AssetMaterialization) -> None:
        """An asset was materialized: month, asset, rows, time so far. Said on a terminal only: a log keeps the lines of the months."""
        if not self.out.isatty():
            return
        rows = what.metadata.get(ROWS)
        counted = f"{rows.value:,} rows" if rows is not None else ""
        self._write(f"{CLEAR}{self.name:<8}  {'/'.join(what.asset_key.path):<42} {counted:>15}  {minutes(time.monotonic() - self.began)}")

    def settled(self, runs: int) -> None:
        """Nothing is due any more in this month."""
        now = time.monotonic()
        step = f"month {self.done} of {self.months}" if self.done else "registers"
        clear = CLEAR if self.out.isatty() else ""
        self._write(f"{clear}{self.name:<8}  {step:<15} {runs:>2} runs  {now - self.since:4.0f} s   {minutes(now - self.began)}\n")
        self.done += 1

    def say(self, text: str) -> None:
        """A sentence on a line of its own."""
        self._write(f"{CLEAR if self.out.isatty() else ''}{text}\n")

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def minutes(seconds: float) -> str:
    """``1 min 05 s``."""
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
