"""What a CSV file looks like: types, formats, and which column is time, key, entity and label. Reads the file; writes nothing."""

import keyword
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import polars as pl

from mlops_assets.new.errors import NoSuchColumn, UnusableFile
from mlops_assets.text import TRUTH, instant, local_month, read

Kind = Literal["str", "int", "float", "bool", "UTC"]

CLOCKS: Final = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "")
DATES: Final = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%Y%m%d")
FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M",
    *(f"{date} {clock}".strip() for date in DATES for clock in CLOCKS),
)  # fmt: skip
WHOLE: Final = r"^(0|-?[1-9]\d{0,17})$"
LABELS: Final = ("label", "target", "outcome", "y")
TAKEN: Final = {
    "available", "columns", "key", "level", "rules", "bool", "column", "float", "int", "pl", "str", "table", "utc",
    "content_hash", "day", "event_timestamp", "example_month", "hour", "ingested_at", "known_at", "known_from", "known_until", "label",
    "label_state", "live_prediction", "model_version", "month", "never_known", "predict_at", "prediction", "prediction_id", "row", "row_id",
    "settled", "weekday",
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
    counts: bool


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the person said: headers by role, None where the file has to tell."""

    time: str | None = None
    key: Sequence[str] = ()
    label: str | None = None
    entity: str | None = None
    known: str | None = None
    later: Sequence[str] = ()
    positive: str | None = None
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
    later: tuple[Field, ...]
    yes: str | None
    threshold: float | None
    months: tuple[str, ...]
    timezone: str


def survey(path: Path, chosen: Chosen) -> Survey:
    """Look at a file; what ``chosen`` leaves open is read off the data.

    Raises:
        UnusableFile: it is no CSV, or the data do not tell a role. NoSuchColumn: an option names a column that is not there.
    """
    raw = _read(path)
    fields = _fields(raw, chosen.timezone)
    for option in ("time", "label", "entity", "known"):
        _demand(path, option, getattr(chosen, option), fields)
    for option in ("key", "later"):
        for one in getattr(chosen, option):
            _demand(path, option, one, fields)
    time = _time(path, fields, chosen.time)
    key = tuple(fields[one] for one in chosen.key) or _key(path, raw, fields, time)
    if raw.select(one.header for one in key).is_duplicated().any() or any(one.nullable for one in key):
        raise UnusableFile(
            path, f"{_list(key)} is empty in some rows or names several", "Give --key, several times if it takes more columns."
        )
    label = _label(path, fields, chosen.label)
    known = fields[chosen.known] if chosen.known else None
    if known is not None and known.kind != "UTC":
        raise UnusableFile(path, f"{known.header} holds no instants in one format", "Give --known a column of instants, or leave it out.")
    values = raw[label.header].drop_nulls()
    yes = _yes(path, label, values, chosen.positive) if label.kind == "str" else None
    entity = fields[chosen.entity] if chosen.entity else _entity(path, raw, fields, taken=(time, label, *key, *((known,) if known else ())))
    if entity.kind not in {"str", "int"}:
        raise UnusableFile(
            path, f"{entity.header} holds {entity.kind} values, which name nobody", "Give --entity a column of names or numbers."
        )
    moments = raw.select(local_month(instant(pl.col(time.header), time.form, chosen.timezone), chosen.timezone)).to_series()
    return Survey(
        path=path, fields=fields, time=time, key=key, label=label, entity=entity, known=known,
        later=tuple(fields[one] for one in chosen.later), yes=yes, threshold=_threshold(label, values),
        months=tuple(moments.drop_nulls().unique().sort()), timezone=chosen.timezone,
    )  # fmt: skip


def identifier(text: str) -> str:
    """A header as a Python name that means nothing else here."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"\W+|_+", "_", plain).strip("_") or "column"
    name = f"c_{name}" if name[0].isdigit() else name
    return f"{name}_value" if name in TAKEN or keyword.iskeyword(name) else name


def _read(path: Path) -> pl.DataFrame:
    try:
        raw = read(path)
    except FileNotFoundError:
        raise UnusableFile(path, "is not there", "Check the path.") from None
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        why = f"cannot be read as CSV ({str(error).splitlines()[0]})"
        raise UnusableFile(path, why, "Save it as UTF-8 with commas and a header.") from error
    if raw.is_empty():
        raise UnusableFile(path, "holds no rows", "Give a file with a header and rows.")
    if raw.width == 1 and re.search(r"[;\t|]", raw.columns[0]):
        raise UnusableFile(path, "is not separated by commas", "Save it with commas.")
    return raw


def _fields(raw: pl.DataFrame, timezone: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    used: set[str] = set()
    for header in raw.columns:
        name = identifier(header)
        while name in used:
            name = f"{name}_2"
        used.add(name)
        fields[header] = _field(raw[header], name, timezone)
    return fields


def _field(text: pl.Series, name: str, timezone: str) -> Field:
    values, nullable = text.drop_nulls().str.strip_chars(), text.null_count() > 0
    kind, form = _kind(values, nullable=nullable, timezone=timezone)
    counts = kind == "int" and not values.str.starts_with("-").any()
    return Field(header=text.name, name=name, kind=kind, nullable=nullable, form=form, distinct=values.n_unique(), counts=counts)


def _kind(values: pl.Series, *, nullable: bool, timezone: str) -> tuple[Kind, str]:
    if values.is_empty():
        return "str", ""
    truth = values.str.to_lowercase().is_in(list(TRUTH)).all()
    if truth:
        return ("float" if nullable else "bool"), ""
    if values.str.contains(WHOLE).all():
        return ("float" if nullable else "int"), ""
    if values.cast(pl.Float64, strict=False).is_finite().fill_null(value=False).all() and not values.str.contains(r"^0\d").any():
        return "float", ""
    for form in FORMATS:
        sample = pl.DataFrame({"text": values.head(100)})
        for rows in (sample, pl.DataFrame({"text": values})):
            found = rows.select(instant(pl.col("text"), form, timezone)).to_series()
            if found.null_count() > _skipped(form) * rows.height:
                break
        else:
            return "UTC", form
    return "str", ""


def _skipped(form: str) -> float:
    """The share of clock times that may not exist: an hour a year is left out where clocks change."""
    return 0.0 if "%#z" in form else 0.005


def _demand(path: Path, option: str, header: str | None, fields: Mapping[str, Field]) -> None:
    if header is not None and header not in fields:
        raise NoSuchColumn(path, option, header, fields)


def _time(path: Path, fields: Mapping[str, Field], header: str | None) -> Field:
    found = [fields[header]] if header else [one for one in fields.values() if one.kind == "UTC" and not one.nullable]
    if len(found) != 1:
        named = f"has several columns of instants ({_list(found)})" if found else "has no column of instants that is always filled"
        raise UnusableFile(path, named, "Say when a row becomes known: --time COLUMN.")
    if found[0].kind != "UTC" or found[0].nullable:
        raise UnusableFile(path, f"{found[0].header} does not hold an instant in one format in every row", "Give --time another column.")
    return found[0]


def _key(path: Path, raw: pl.DataFrame, fields: Mapping[str, Field], time: Field) -> tuple[Field, ...]:
    whole = [one for one in fields.values() if not one.nullable and one.kind in {"str", "int"}]
    for one in whole:
        if one.distinct == raw.height:
            return (one,)
    for one in whole:
        if not raw.select(time.header, one.header).is_duplicated().any():
            return (one, time)
    if time.distinct == raw.height:
        return (time,)
    raise UnusableFile(path, "has no column that is different in every row", "Name those that together are: --key A --key B.")


def _label(path: Path, fields: Mapping[str, Field], header: str | None) -> Field:
    found = [fields[header]] if header else [one for one in fields.values() if one.header.strip().lower() in LABELS]
    if len(found) != 1:
        raise UnusableFile(path, "does not tell what is to be predicted", f"Give --label; its columns are {', '.join(fields)}.")
    if found[0].kind == "UTC" or found[0].distinct < TWO:
        why = f"{found[0].header} holds instants, or one value only: there is nothing to predict"
        raise UnusableFile(path, why, "Give --label another column.")
    return found[0]


def _yes(path: Path, label: Field, values: pl.Series, positive: str | None) -> str:
    """Of a text label: the value that is predicted; the rarer of two when nobody says."""
    counts = values.str.strip_chars().value_counts(sort=True)
    words = counts[label.header].to_list()
    if positive is None and len(words) == TWO:
        return str(words[-1])
    if positive not in words:
        shown = ", ".join(repr(one) for one in words[:8])
        raise UnusableFile(
            path, f"{label.header} holds {len(words)} words ({shown})", "Say which of them is to be predicted: --positive WORD."
        )
    return str(positive)


def _threshold(label: Field, values: pl.Series) -> float | None:
    """The larger of two numbers; 1 for truths and words; None for what has more values than two."""
    if label.kind == "str" or values.str.to_lowercase().is_in(list(TRUTH)).all():
        return 1.0
    numbers = values.str.strip_chars().cast(pl.Float64)
    return float(str(numbers.max())) if numbers.n_unique() == TWO else None


def _entity(path: Path, raw: pl.DataFrame, fields: Mapping[str, Field], *, taken: Sequence[Field]) -> Field:
    """The column with most names among those whose names come again and again."""
    most = raw.height // 5
    names = [one for one in fields.values() if one.kind in {"str", "int"} and 1 < one.distinct <= most and not one.nullable]
    found = [one for one in names if one not in taken] or [one for one in names if one in taken[2:]]
    texts = [one for one in found if one.kind == "str"] or found
    if not texts:
        raise UnusableFile(path, "does not tell whose rows these are", "Name the customer, shop or machine of a row: --entity COLUMN.")
    return max(texts, key=lambda one: one.distinct)


def _list(fields: Sequence[Field]) -> str:
    return ", ".join(one.header for one in fields)
