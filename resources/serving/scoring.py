"""The one path from examples to predictions: batch prediction, evaluation and the service call it.

Also what a release says of its own requests: the signature (feature -> type), the probe (rows with recorded answers) and prediction ids.
Light: imports polars and orjson; a model's library is imported by the model's own code.
"""

import hashlib
import importlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import orjson
import polars as pl

from resources.errors import PlatformError
from resources.serving.examples import TYPES, Field

Score = Callable[[dict[str, Any], pl.DataFrame], pl.Series]
ID_LENGTH: Final = 32
VERSION_LENGTH: Final = 8
"""So much of an id is the beginning of the content hash: an answer names its version, however many there are."""

PROBE_ROWS: Final = 8
TOLERANCE: Final = 1e-9


class ScoreFailed(PlatformError):
    """The model's own code raised, or returned what is no prediction."""

    def __init__(self, *, entry: str, rows: int, reason: str) -> None:
        super().__init__(f"{entry} failed on {rows} examples: {reason}. No prediction was written. Mend {entry.partition(':')[0]}.")


class ProbeFailed(PlatformError):
    """A loaded model does not repeat the answers that were recorded when it was fitted."""

    def __init__(self, *, entry: str, row: int, expected: float, got: float) -> None:
        super().__init__(
            f"{entry}: example {row} of the release's probe was answered {expected!r} at training and {got!r} here. "
            "The version was not loaded. Compare the installed libraries with requirements-serve.lock."
        )


def score(entry: str, parts: Mapping[str, Any], frame: pl.DataFrame, features: Sequence[str]) -> pl.Series:
    """Predictions of the model behind ``entry`` (``package.module:function``), one finite number a row, in the order of ``frame``."""
    if missing := [name for name in features if name not in frame.columns]:
        raise ScoreFailed(entry=entry, rows=frame.height, reason=f"the examples lack {', '.join(missing)}")
    module, _, name = entry.partition(":")
    try:
        function: Score = getattr(importlib.import_module(module), name)
        found = function(dict(parts), frame.select(features)) if frame.height else pl.Series([], dtype=pl.Float64)
    except Exception as error:  # the model's own code may raise anything; it is named and passed on
        raise ScoreFailed(entry=entry, rows=frame.height, reason=f"{type(error).__name__}: {error}") from error
    return _finite(entry, found, frame.height)


def _finite(entry: str, found: object, rows: int) -> pl.Series:
    if not isinstance(found, pl.Series):
        reason = f"returned {type(found).__name__}, not a polars Series"
    elif found.len() != rows:
        reason = f"returned {found.len()} predictions"
    elif not found.dtype.is_numeric():
        reason = f"returned {found.dtype}, not numbers"
    else:
        numbers = found.cast(pl.Float64).alias("prediction")
        bad = rows - int(numbers.is_finite().fill_null(value=False).sum())
        if not bad:
            return numbers
        reason = f"{bad} predictions are null, NaN or infinite"
    raise ScoreFailed(entry=entry, rows=rows, reason=reason)


def prediction_ids(content_hash: str, frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """One id an example: the same version and the same example give the same id, in batch and in the service.

    The first 8 hex digits of the content hash; then the first 24 of a SHA-256 over the content hash, a newline and the example as canonical
    JSON (keys sorted, no blanks).
    """
    seed, version = hashlib.sha256(content_hash.encode() + b"\n"), content_hash[:VERSION_LENGTH]

    def one(row: dict[str, Any]) -> str:
        digest = seed.copy()
        digest.update(orjson.dumps(row))
        return version + digest.hexdigest()[: ID_LENGTH - VERSION_LENGTH]

    return pl.Series("prediction_id", [one(row) for row in frame.select(sorted(set(columns))).iter_rows(named=True)], dtype=pl.String)


def signature(frame: pl.DataFrame, columns: Sequence[str], *, required: Collection[str] = ()) -> dict[str, Field]:
    """Types of ``columns`` as a release records them; every column but the ``required`` ones may be null."""
    names: dict[pl.DataType, str] = {dtype: name for name, (dtype, *_) in TYPES.items()}
    return {column: {"dtype": names[_plain(frame.schema[column])], "nullable": column not in required} for column in columns}


def _plain(dtype: pl.DataType) -> pl.DataType:
    if dtype.is_integer():
        return pl.Int64()
    if dtype.is_float():
        return pl.Float64()
    return pl.Datetime("us", "UTC") if dtype.is_temporal() and dtype != pl.Date() else dtype


def rows(frame: pl.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Examples as plain JSON values, as a client of the service sends them."""
    plain = frame.select(columns).to_dicts()
    return [{name: value.isoformat() if isinstance(value, date | datetime) else value for name, value in row.items()} for row in plain]


def probe(entry: str, parts: Mapping[str, Any], frame: pl.DataFrame, features: Sequence[str], *, n: int = PROBE_ROWS) -> dict[str, Any]:
    """A few evenly spaced examples with the answers that this model gives now; a worker repeats them before it serves the version."""
    some = frame.gather_every(max(1, frame.height // n)).head(n)
    return {"examples": rows(some, features), "predictions": score(entry, parts, some, features).to_list()}


def passes(entry: str, parts: Mapping[str, Any], examples: pl.DataFrame, features: Sequence[str], recorded: Sequence[float]) -> None:
    """Raise ``ProbeFailed`` unless the model repeats its recorded answers."""
    for row, (expected, got) in enumerate(zip(recorded, score(entry, parts, examples, features), strict=True)):
        if not math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise ProbeFailed(entry=entry, row=row, expected=expected, got=got)
