"""The record of a release: one typed schema with a number. A release whose record lacks a field cannot be registered.

``identity`` decides what a model is and is covered by its content hash; ``provenance`` says how it came about and is covered by the ledger
and the signature alone. What was measured of it and what its gate found stands in the ledger's entry ``registered``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from resources.errors import PlatformError

FORMAT: Final = 1
Word = Annotated[str, StringConstraints(min_length=1)]
Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$")]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class RecordIncomplete(PlatformError):
    """A record that does not say what a release must say of itself."""

    def __init__(self, *, model: str, problems: list[str]) -> None:
        listed = "\n".join(f"  {one}" for one in problems)
        super().__init__(
            f"{model}: the record of its release is not complete, so nothing was registered.\n{listed}\n"
            f"Materialize model/{model}/parts of its month again with this platform; what a project says itself stands in the model's spec "
            "and card.md."
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Code(_Part):
    """Hashes of the syntax trees behind the two functions."""

    fit: Word
    score: Word


class Identity(_Part):
    """Everything that decides what a model is: equal identity, equal content hash. ``tables`` has content digests by month."""

    model: Word
    cutoff: Month
    trained_until: Day
    seed: int
    params: dict[str, JsonValue]
    tables: Annotated[dict[str, dict[str, str]], Field(min_length=1)]
    views: dict[str, Word]
    code: Code
    lock: Word


class Git(_Part):
    """The commit that the code was at, and the e-mail addresses of its author and its committer; null outside of a git checkout."""

    commit: Word | None
    dirty: bool | None
    author: Word | None
    committer: Word | None


class TrainingSet(_Part):
    """Where the examples lie, how many there are, since which month."""

    address: Word
    rows: int
    since: Month


class Used(_Part):
    """What a fit took: seconds by the clock and of all cores, the largest memory of its process so far."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


class Provenance(_Part):
    """How a model came about. ``tables`` has version numbers; ``card`` is the text of the model's card: intended use and limits."""

    format: Literal[1]
    dagster_run: Word
    mlflow_run_id: Word
    git: Git
    training_set: TrainingSet
    tables: dict[str, int]
    platform: Word
    used: Used
    owner: Word
    level: Literal["public", "internal", "confidential", "restricted"]
    licence: Word
    card: Word


class Record(_Part):
    """What is known about a release."""

    identity: Identity
    provenance: Provenance


def complete(model: str, record: Mapping[str, Any]) -> Record:
    """The record as typed data.

    Raises:
        RecordIncomplete: a field is missing, of another type, or unknown to this format.
    """
    try:
        return Record.model_validate(dict(record))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecordIncomplete(model=model, problems=problems) from error
