"""``python -m mlops_assets.new acme_ml``: write a project that runs, from a CSV file or from an example."""

import argparse
import sys
import tempfile
from pathlib import Path

from mlops_assets.new.example import orders
from mlops_assets.new.project import check_name, write
from mlops_assets.new.survey import Chosen, survey
from resources.errors import PlatformError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the project is there, 1 with one clear sentence otherwise."""
    said = vars(_parser().parse_args(arguments))
    name, csv, chosen = said.pop("name"), said.pop("csv"), Chosen(**said)
    try:
        check_name(name)
        with tempfile.TemporaryDirectory() as folder:
            if csv is None:
                csv, chosen = Path(folder, "orders.csv"), Chosen(time="ordered_at", key=("order_id",), label="returned", entity="customer")
                csv.write_text(orders(), encoding="utf-8")
            seen = survey(csv, chosen)
            write(Path.cwd() / name, seen)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    later = f"what comes later than {seen.time.header} must say so"
    print(f"{name}/ is written. cd {name}, read README.md, then look at each line of the contract: {later}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.new", description="Write a project that runs.")
    parser.add_argument("name", help="name of the project and of its package")
    parser.add_argument("--csv", type=Path, help="your data, with --time, --key, --entity and --label; without it an example is written")
    parser.add_argument("--time", default="", help="column with the instant from which a row is known, and at which it is predicted")
    parser.add_argument("--key", action="append", default=[], help="column that tells one row from another; may be given several times")
    parser.add_argument("--label", default="", help="column to predict")
    parser.add_argument("--positive", default="", metavar="WORD", help="of a label in words: the one to predict")
    parser.add_argument("--entity", default="", help="column that says whose row it is: past outcomes are averaged for each")
    parser.add_argument(
        "--known", default="", help="column with the instant from which the label is known; without it, a day after the row"
    )
    parser.add_argument("--timezone", default="UTC", help="of clock times without an offset, and of months (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
