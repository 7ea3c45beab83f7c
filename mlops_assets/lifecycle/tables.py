"""Contracts of the tables that the stages themselves write: the columns that every model's frame has, whatever its features are."""

from datetime import date

from mlops_assets.table import ALWAYS, UTC, Table, column


class Applied(Table, available=ALWAYS):
    """Feature views as the Feast registry holds them."""

    view: str = column(unique=True, doc="Its name in Feast: entity_view.")
    spec_hash: str = column(doc="Hash of the declaration and of its function's syntax tree.")


class TrainingRows(Table, available="predict_at", key=("row_id",)):
    """Examples with features and a mature label."""

    row_id: str = column(doc="The example's key as one string.")
    predict_at: UTC = column(doc="The instant at which it is predicted: features are those known then.")
    day: date = column(doc="Local day of the example.")
    example_month: str = column(doc="Local month of the example, YYYY-MM.")
    label: float = column(doc="What settled the example, mature at the cut-off.")


class Fitted(Table, available=ALWAYS):
    """One fitted model: where its parts are and what it was trained on."""

    content_hash: str = column(unique=True, doc="Identity of the model: equal data and code, equal hash.")
    mlflow_run_id: str = column(doc="The run in MLflow that fitted it.")
    cutoff: str = column(doc="Last month whose data could be used.")
    trained_until: date = column(doc="First held-out day; no row of it or later was trained on.")
    rows: int = column(ge=1, doc="Examples for training and validation; held-out ones not counted.")


class Evaluated(Table, available=ALWAYS, key=("version", "metric", "slice_by", "slice")):
    """Metrics on the held-out days with 95 % intervals over days, differences from the live version paired by day, the gate's findings."""

    version: str = column(isin=("candidate", "live", "difference", "gate"), doc="Which version, their difference, or the gate.")
    metric: str = column(doc="What was measured; of a gate, what it looked at.")
    slice_by: str = column(doc="The column by which examples are sliced.")
    slice: str = column(doc="Its value in the slice.")
    value: float | None = column(doc="The metric on the held-out days.")
    low: float | None = column(doc="Lower end of its 95 % interval.")
    high: float | None = column(doc="Upper end of its 95 % interval.")
    rows: int = column(ge=0, doc="Examples that were measured.")
    passed: bool | None = column(doc="Of a gate: whether it was passed.")
    sentence: str | None = column(doc="Of a gate: what was found; of a difference: which is better.")
    against: str | None = column(doc="Of a difference: content hash of the live version that was subtracted.")


class Candidate(Table, available=ALWAYS):
    """One registered version."""

    content_hash: str = column(unique=True, doc="Identity of the version.")
    model: str = column(doc="Name of the model.")
    version: int = column(ge=1, doc="Its number in the ledger.")
    cutoff: str = column(doc="Last month whose data could be used.")


class Live(Table, available=ALWAYS, key=("model",)):
    """The version that is live."""

    model: str = column(doc="Name of the model.")
    version: int = column(ge=1, doc="Its number in the ledger.")
    content_hash: str = column(doc="Identity of the version.")


class Answered(Table, available=ALWAYS, key=("model",)):
    """What the running service answered to the smoke prediction."""

    model: str = column(doc="Name of the model.")
    version: int = column(ge=1, doc="The version that answered, by its number in the ledger.")
    content_hash: str = column(doc="Identity of the version that answered.")
    url: str = column(doc="Where the service was asked.")
    prediction: float = column(doc="What it answered.")


class Predicted(Table, available="predict_at"):
    """One prediction, traceable to its version."""

    prediction_id: str = column(unique=True, doc="By which the prediction is found again.")
    row_id: str = column(doc="The example's key as one string.")
    predict_at: UTC = column(doc="The instant at which it is predicted: features are those known then.")
    day: date = column(doc="Local day of the example.")
    prediction: float = column(doc="What the model answers.")
    model_version: int = column(ge=1, doc="The version that answered, by its number in the ledger.")
    content_hash: str = column(doc="Identity of that version.")


_held = column
"""``column`` under another name: `Monitored` has a field of that name."""


class Monitored(Table, available=ALWAYS, key=("day", "column")):
    """One column of the model's input, or its performance, on one day."""

    day: date = _held(doc="Local day of the examples.")
    column: str = _held(doc="A column of the model's input, or its performance.")
    rows: int = _held(ge=0, doc="Examples of the day.")
    nulls: int = _held(ge=0, doc="How many of them have no value.")
    verdict: str = _held(isin=("ok", "drift", "not enough history", "fell", "not enough labels"), doc="What the monitor says of the day.")


class Compared(Table, available=ALWAYS, key=("day", "feature")):
    """One feature on one day: values as served that are not those of the offline path."""

    day: date = column(doc="Local day of the predictions.")
    feature: str = column(doc="view__feature")
    compared: int = column(ge=1, doc="Values that were compared.")
    mismatched: int = column(ge=0, doc="Values that differ.")
    rate: float = column(ge=0, le=1, doc="Mismatched of compared.")
    kind: str | None = column(doc="Likely kind of skew, of the month; null where nothing differs.")
