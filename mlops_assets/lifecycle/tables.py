"""Contracts of the tables that the stages themselves write: the columns that every model's frame has, whatever its features are."""

from datetime import date

from mlops_assets.table import ALWAYS, UTC, Table, column


class Applied(Table, available=ALWAYS):
    """Feature views as the Feast registry holds them."""

    view: str = column(unique=True)
    spec_hash: str = column(doc="Hash of the declaration and of its function's syntax tree.")


class TrainingRows(Table, available="predict_at", key=("row_id",)):
    """Examples with features and a mature label."""

    row_id: str = column(doc="The example's key as one string.")
    predict_at: UTC
    day: date = column(doc="Local day of the example.")
    example_month: str = column()
    label: float = column()


class Fitted(Table, available=ALWAYS):
    """One fitted model: where its parts are and what it was trained on."""

    content_hash: str = column(unique=True, doc="Identity of the model: equal data and code, equal hash.")
    mlflow_run_id: str = column()
    cutoff: str = column(doc="Last month whose data could be used.")
    trained_until: date = column(doc="First held-out day; no row of it or later was trained on.")
    rows: int = column(ge=1)


class Evaluated(Table, available=ALWAYS, key=("version", "metric", "slice_by", "slice")):
    """Metrics on the held-out days with 95 % intervals over days, and the gate's findings."""

    version: str = column(isin=("candidate", "live", "gate"))
    metric: str = column()
    slice_by: str = column()
    slice: str = column()
    value: float | None = column()
    low: float | None = column()
    high: float | None = column()
    rows: int = column(ge=0)
    passed: bool | None = column(doc="Of a gate: whether it was passed.")
    sentence: str | None = column(doc="Of a gate: what was found.")


class Candidate(Table, available=ALWAYS):
    """One registered version."""

    content_hash: str = column(unique=True)
    model: str = column()
    version: int = column(ge=1)
    cutoff: str = column()


class Live(Table, available=ALWAYS, key=("model",)):
    """The version that is live."""

    model: str = column()
    version: int = column(ge=1)
    content_hash: str = column()


class Answered(Table, available=ALWAYS, key=("model",)):
    """What the running service answered to the smoke prediction."""

    model: str = column()
    version: int = column(ge=1)
    content_hash: str = column()
    url: str = column()
    prediction: float = column()


class Predicted(Table, available="predict_at"):
    """One prediction, traceable to its version."""

    prediction_id: str = column(unique=True)
    row_id: str = column()
    predict_at: UTC
    day: date = column()
    prediction: float = column()
    model_version: int = column(ge=1)
    content_hash: str = column()


_held = column
"""``column`` under another name: `Monitored` has a field of that name."""


class Monitored(Table, available=ALWAYS, key=("day", "column")):
    """One column of the model's input, or its performance, on one day."""

    day: date
    column: str
    rows: int = _held(ge=0)
    nulls: int = _held(ge=0)
    verdict: str = _held(isin=("ok", "drift", "not enough history", "fell", "not enough labels"))


class Compared(Table, available=ALWAYS, key=("day", "feature")):
    """One feature on one day: values as served that are not those of the offline path."""

    day: date = column(doc="Local day of the predictions.")
    feature: str = column(doc="view__feature")
    compared: int = column(ge=1)
    mismatched: int = column(ge=0)
    rate: float = column(ge=0, le=1, doc="Mismatched of compared.")
    kind: str | None = column(doc="Likely kind of skew, of the month; null where nothing differs.")
