"""What a CSV file looks like: names, types and formats of its columns, and whether each suits its role. Reads it; writes nothing."""

import keyword
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from zoneinfo import available_timezones

import polars as pl

from mlops_assets.new.errors import NotWritten
from mlops_assets.table import TAKEN
from mlops_assets.text import TRUTH, instant, local_month, read

Kind = Literal["str", "int", "float", "bool", "UTC"]

CLOCKS: Final = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "")
DATES: Final = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%Y%m%d")
FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M",
    *(f"{date} {clock}".strip() for date in DATES for clock in CLOCKS),
)  # fmt: skip
WHOLE: Final = r"^(0|-?[1-9]\d{0,17})$"
RESERVED: Final = TAKEN | {
    "bool", "column", "float", "int", "pl", "str", "table", "utc",
    "content_hash", "day", "example_month", "hour", "known_at", "known_from", "known_until", "label", "label_state", "live_prediction",
    "model_version", "month", "never_known", "predict_at", "prediction", "prediction_id", "row", "row_id", "settled", "weekday",
}  # fmt: skip
"""Names that mean something to the platform, or inside the class of a contract."""

TWO: Final = 2
FEW: Final = 1000
"""A text with more values than this is a name, not a category."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column of the file: its header, the name that it gets, and what its text holds."""

    header: str
    name: str
    kind: Kind
    nullable: bool
    form: str
    distinct: int


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the person said: headers by role."""

    time: str = ""
    key: Sequence[str] = ()
    label: str = ""
    entity: str = ""
    known: str = ""
    positive: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A file and the role of its columns.

    ``yes`` is the word that a label in words is true for; from ``threshold`` on a label counts as true, None when it is a quantity.
    """

    path: Path
    fields: Mapping[str, Field]
    time: Field
    key: tuple[Field, ...]
    label: Field
    entity: Field
    known: Field | None
    yes: str | None
    threshold: float | None
    months: tuple[str, ...]
    timezone: str


ROLES: Final[Mapping[str, tuple[str, Callable[[Field], bool]]]] = {
    "time": ("an instant in one format in every row, from which the row is known", lambda one: one.kind == "UTC" and not one.nullable),
    "label": ("two values or more that are no instants, to be predicted", lambda one: one.kind != "UTC" and one.distinct >= TWO),
    "key": ("a value in every row, which tells it from others", lambda one: not one.nullable),
    "known": ("instants in one format, from which the label is known", lambda one: one.kind == "UTC"),
    "entity": ("words or whole numbers that name whose row it is", lambda one: one.kind in {"str", "int"}),
}
"""What a column must hold to play a role."""


def survey(path: Path, chosen: Chosen) -> Survey:
    """Look at a file and at the columns that were chosen from it.

    Raises:
        NotWritten: it is no CSV, or a column that was chosen is not there or cannot play its role.
    """
    if chosen.timezone not in available_timezones():
        raise NotWritten(f"--timezone {chosen.timezone} is no time zone", "Give its name, for example --timezone Europe/Berlin.")
    raw = _read(path)
    fields = _fields(raw, chosen.timezone)
    time, label, entity = (_role(path, fields, role, getattr(chosen, role)) for role in ("time", "label", "entity"))
    known = _role(path, fields, "known", chosen.known) if chosen.known else None
    key = tuple(_role(path, fields, "key", header) for header in chosen.key or [""])
    if raw.select(one.header for one in key).is_duplicated().any():
        why = f"{path}: {', '.join(chosen.key)} is the same in several rows"
        raise NotWritten(why, "Say what tells one row from another: --key COLUMN, several times if it takes more.")
    values = raw[label.header].drop_nulls().str.strip_chars()
    moments = raw.select(local_month(instant(pl.col(time.header), time.form, chosen.timezone), chosen.timezone)).to_series()
    return Survey(
        path=path, fields=fields, time=time, key=key, label=label, entity=entity, known=known,
        yes=_yes(path, label, values, chosen.positive) if label.kind == "str" else None, threshold=_threshold(label, values),
        months=tuple(moments.drop_nulls().unique().sort()), timezone=chosen.timezone,
    )  # fmt: skip


def identifier(text: str) -> str:
    """A header as a Python name that means nothing else here."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"\W+|_+", "_", plain).strip("_") or "column"
    name = f"c_{name}" if name[0].isdigit() else name
    return f"{name}_value" if name in RESERVED or keyword.iskeyword(name) else name


def _read(path: Path) -> pl.DataFrame:
    try:
        raw = read(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        why = f"{path} cannot be read as CSV ({str(error).splitlines()[0]})"
        raise NotWritten(why, "Give a file in UTF-8 with commas and a header.") from error
    if raw.is_empty() or raw.width == 1:
        raise NotWritten(f"{path} holds {raw.height} rows and {raw.width} columns", "Give a file with a header, commas and rows.")
    return raw


def _fields(raw: pl.DataFrame, timezone: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for header in raw.columns:
        name = identifier(header)
        while any(name == one.name for one in fields.values()):
            name = f"{name}_2"
        values, nullable = raw[header].drop_nulls().str.strip_chars(), raw[header].has_nulls()
        kind, form = _kind(values, nullable=nullable, timezone=timezone)
        fields[header] = Field(header=header, name=name, kind=kind, nullable=nullable, form=form, distinct=values.n_unique())
    return fields


def _kind(values: pl.Series, *, nullable: bool, timezone: str) -> tuple[Kind, str]:
    if values.is_empty():
        return "str", ""
    if _truths(values):
        return ("float" if nullable else "bool"), ""
    if values.str.contains(WHOLE).all():
        return ("float" if nullable else "int"), ""
    if values.cast(pl.Float64, strict=False).is_finite().fill_null(value=False).all() and not values.str.contains(r"^0\d").any():
        return "float", ""
    for form in FORMATS:
        if _reads(values.head(100), form, timezone) and _reads(values, form, timezone):
            return "UTC", form
    return "str", ""


def _truths(values: pl.Series) -> bool:
    return values.str.to_lowercase().is_in(list(TRUTH)).all()


def _reads(values: pl.Series, form: str, timezone: str) -> bool:
    """Whether texts are instants in this format. Some clock times need not exist: an hour a year is left out where clocks change."""
    unread = values.to_frame("text").select(instant(pl.col("text"), form, timezone)).to_series().null_count()
    return unread <= (0 if "%#z" in form else 0.005 * values.len())


def _role(path: Path, fields: Mapping[str, Field], role: str, header: str) -> Field:
    """The column that was named for a role."""
    must, suits = ROLES[role]
    if header not in fields or not suits(fields[header]):
        why = f"{path}: --{role} {header or '(not given)'} is no column with {must}"
        raise NotWritten(why, f"Say --{role} COLUMN; its columns are {', '.join(fields)}.")
    return fields[header]


def _yes(path: Path, label: Field, values: pl.Series, positive: str) -> str:
    """Of a label in words: the one that is predicted."""
    words = sorted(set(values))
    if positive not in words:
        shown = ", ".join(repr(one) for one in words[:8])
        raise NotWritten(f"{path}: {label.header} holds {len(words)} words ({shown})", "Say which is to be predicted: --positive WORD.")
    return positive


def _threshold(label: Field, values: pl.Series) -> float | None:
    """The larger of two numbers; 1 for truths and words; None for what has more values than two."""
    if label.kind == "str" or _truths(values):
        return 1.0
    numbers = values.cast(pl.Float64)
    return float(str(numbers.max())) if numbers.n_unique() == TWO else None
