"""``python -m mlops_assets.new acme_ml``: write a project that runs, from a CSV file or from an example."""

import argparse
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from mlops_assets.new.example import orders
from mlops_assets.new.project import check_name, write
from mlops_assets.new.survey import Chosen, Survey, survey
from resources.errors import PlatformError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the project is there, 1 with one clear sentence otherwise."""
    options = _parser().parse_args(arguments)
    try:
        print(_written(options))
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _written(options: argparse.Namespace) -> str:
    check_name(options.name)
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder, "orders.csv")
        chosen = Chosen(**{name: getattr(options, name) for name in Chosen.__dataclass_fields__})
        if options.csv is None:
            example.write_text(orders(), encoding="utf-8")
            chosen = Chosen(time="ordered_at", key=("order_id",), label="returned", entity="customer")
        seen = survey(options.csv or example, chosen)
        target = Path.cwd() / options.name
        files = write(target, seen, delay=timedelta(hours=options.label_after))
    return _told(options.name, seen, [str(file) for file in files])


def _told(name: str, seen: Survey, files: list[str]) -> str:
    known = seen.known.header if seen.known else "known_at, which is assumed: say when it is really known"
    key = ", ".join(one.header for one in seen.key)
    return (
        f"{name}/: {len(files)} files. Read off {seen.path.name}: time {seen.time.header}, key {key}, "
        f"entity {seen.entity.header}, label {seen.label.header}{f' is {seen.yes}' if seen.yes else ''}, known from {known}; "
        f"months {seen.months[0]} to {seen.months[-1]}.\n"
        f"cd {name}, read README.md, then look at each line of the contract: what comes later than {seen.time.header} must say so."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.new", description="Write a project that runs.")
    parser.add_argument("name", help="name of the project and of its package")
    parser.add_argument("--csv", type=Path, help="your data; without it an example is written")
    parser.add_argument("--time", help="column with the instant from which a row is known, and at which it is predicted")
    parser.add_argument("--key", action="append", default=[], help="column that tells one row from another; may be given several times")
    parser.add_argument("--label", help="column to predict")
    parser.add_argument("--positive", metavar="WORD", help="of a label in words: the one to predict")
    parser.add_argument("--entity", help="column that says whose row it is: past outcomes are averaged for each")
    parser.add_argument("--known", help="column with the instant from which the label is known")
    parser.add_argument("--later", action="append", default=[], help="column that is known only with the label; may be given several times")
    parser.add_argument("--label-after", type=float, default=24, metavar="HOURS", help="without --known: hours until it is (%(default)s)")
    parser.add_argument("--timezone", default="UTC", help="of clock times without an offset, and of months (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
