"""What a replay says while it runs."""

import io

import dagster as dg

from mlops_assets.replay.progress import CLEAR, Progress, minutes


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def made(rows: int) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(["table", "acme", "orders"], metadata={"dagster/row_count": rows})


def test_a_terminal_shows_the_asset_that_was_made_last_and_its_rows() -> None:
    progress = Progress(out=(out := Terminal()), months=2)
    progress.start("2013-01")
    progress.made(made(27_004))
    assert out.getvalue().startswith(f"{CLEAR}2013-01 ")
    assert "table/acme/orders" in out.getvalue()
    assert "27,004 rows" in out.getvalue()


def test_a_log_holds_one_line_a_month_and_no_control_character() -> None:
    progress = Progress(out=(out := io.StringIO()), months=1)
    for name, runs in (("set-up", 5), ("2013-01", 4)):
        progress.start(name)
        progress.made(made(1))
        progress.settled(runs)
    first, second = out.getvalue().splitlines()
    assert "registers" in first
    assert "month 1 of 1" in second
    assert " 4 runs" in second
    assert "\033" not in out.getvalue()


def test_elapsed_time_is_told_in_minutes_and_seconds() -> None:
    assert minutes(65.4) == "1 min 05 s"
