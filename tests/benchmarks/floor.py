"""The work of `make demo` as one plain script: the floor that the platform is measured against.

Same tables, fits, profiles, reports, MLflow runs and one serve start; no Dagster, no Feast, no retry, no lineage, no replay of clocks.
It shares with the platform what is not plumbing: the project's own functions, the window engine, the metrics and the monitors.

`python -m tests.benchmarks.floor [HOME]` prints where the time goes and how good the models are; `tests.benchmarks.lifecycle` compares.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

from mlops_assets.flights.catalogue import MODELS, SOURCES, VIEWS
from mlops_assets.specs import FeatureViewSpec, Gate, ModelSpec, Parts, SourceSpec, TrainingData
from mlops_assets.table import ALWAYS
from mlops_assets.windows import Threshold, Window
from resources.feature_store.windows import WindowColumn, windowed
from resources.monitors.consistency import by_day, differing
from resources.monitors.drift import drift, summary
from resources.monitors.gate import gate, paired, paired_slices, passed
from resources.monitors.importance import permutation_importance
from resources.monitors.metrics import calibration, evaluate
from resources.monitors.performance import Baseline, daily_losses, performance
from resources.monitors.plots import bars_svg, calibration_svg
from resources.monitors.profiles import Reference, daily_profile
from resources.monitors.report import write_report

YEAR: Final = [f"2013-{month:02d}" for month in range(1, 13)]
FIRST_CUTOFF: Final = "2013-03"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK: Final = ZoneInfo("America/New_York")
INSTANT: Final = pl.Datetime("us", "UTC")
HISTORY: Final = timedelta(days=70)
REPLAYED: Final = 50
"""Predictions of a day that are joined again."""
MAIN: Final = {"classification": "auc", "regression": "mae"}
SERVICE: Final = """
import bentoml, json, lightgbm, polars as pl
from mlops_assets.flights.catalogue import MODELS


@bentoml.service(workers=1)
class Flights:
    def __init__(self):
        self.parts = {}
        for spec in MODELS:
            said = json.loads(open(f"{spec.name}.json").read())
            self.parts[spec.name] = {"booster": lightgbm.Booster(model_file=f"{spec.name}.lgb.txt"), **said}

    @bentoml.api
    def predict(self, model: str, examples: list[dict]) -> list[float]:
        spec = next(one for one in MODELS if one.name == model)
        return spec.score(self.parts[model], pl.DataFrame(examples)).to_list()
"""


@dataclass(kw_only=True)
class Floor:
    """What the script holds while the year goes by: its folder, the tables in memory, the clock of each part of the work."""

    home: Path
    tables: dict[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame])
    features: dict[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame])
    joined: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    live: dict[str, "Version"] = field(default_factory=dict[str, "Version"])
    predicted: dict[str, list[pl.DataFrame]] = field(default_factory=dict[str, list[pl.DataFrame]])
    refused: list[str] = field(default_factory=list[str])
    reached: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    wall: Counter[str] = field(default_factory=Counter[str])
    cpu: Counter[str] = field(default_factory=Counter[str])

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        """Count the wall and CPU seconds of a part of the work."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall  # pyright: ignore[reportArgumentType]  # a Counter counts seconds as well
        self.cpu[name] += time.process_time() - cpu  # pyright: ignore[reportArgumentType]  # the counter holds numbers

    def write(self, address: str, frame: pl.DataFrame, month: str | None = None) -> None:
        """One Delta table, or the partition of one month."""
        with self.part("write"):
            if month is None:
                frame.write_delta(self.home / address, mode="overwrite")
                return
            options = {"partition_by": "partition", "predicate": f"partition = '{month}'"}
            exists = (self.home / address / "_delta_log").exists()
            frame.with_columns(partition=pl.lit(month)).write_delta(
                self.home / address, mode="overwrite", delta_write_options=options if exists else {"partition_by": "partition"}
            )


@dataclass(frozen=True, kw_only=True)
class Version:
    """A fitted model and what it was trained and judged on."""

    number: int
    parts: Parts
    trained_until: date
    training: pl.DataFrame
    run_id: str


def end_of(month: str) -> datetime:
    """The local midnight that ends a month."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=NEW_YORK)
    return (first + timedelta(days=32)).replace(day=1).astimezone(UTC)


def start_of(month: str) -> datetime:
    """The local midnight that begins a month."""
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=NEW_YORK).astimezone(UTC)


def checked(spec: SourceSpec, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that keep the contract, and rows that break it."""
    broken = [~pl.col(name).is_in(col.isin) for name, col in spec.contract.columns.items() if col.isin]
    broken += [pl.col(name) < col.ge for name, col in spec.contract.columns.items() if col.ge is not None]
    broken += [pl.col(name) > col.le for name, col in spec.contract.columns.items() if col.le is not None]
    broken += [pl.col(name).is_null() for name, col in spec.contract.columns.items() if not col.nullable]
    broken += [~rule for rule in spec.contract.rules.values()]
    bad = pl.any_horizontal(rule.fill_null(value=False) for rule in broken)
    return frame.filter(~bad), frame.filter(bad)


def ingest(floor: Floor, spec: SourceSpec, month: str | None) -> None:
    """The archive's rows of one month, or of the whole table, into a table and its quarantine."""
    with floor.part("ingest"):
        good, bad = checked(spec, spec.parse(spec.archive(month) if spec.archive else pl.DataFrame()))
        stamped = good.with_columns(known_from=pl.lit(EPOCH, INSTANT), known_until=pl.lit(None, INSTANT))
        known = floor.tables.get(spec.table)
        floor.tables[spec.table] = stamped if known is None or month is None else pl.concat([known, stamped])
    floor.write(f"table/{spec.table}", good, month)
    floor.write(f"quarantine/{spec.table}", bad, month)


def build(floor: Floor, view: FeatureViewSpec, month: str | None) -> None:
    """The emissions of a view in one month, with the day before it."""
    since, until = (start_of(month) - timedelta(days=1), end_of(month)) if month else (EPOCH, datetime(2100, 1, 1, tzinfo=UTC))
    with floor.part("features"):
        made = _windows(floor, view, since, until) if view.windows else _computed(floor, view, since, until)
        known = floor.features.get(view.address)
        if known is not None:
            known = known.filter(pl.col("event_timestamp") < since)
        floor.features[view.address] = made if known is None else pl.concat([known, made])
    floor.write(f"feature/{view.address}", made, month)


def _windows(floor: Floor, view: FeatureViewSpec, since: datetime, until: datetime) -> pl.DataFrame:
    rows = floor.tables[view.source.table].filter(pl.col("month") >= f"{since - timedelta(days=31):%Y-%m}")
    return windowed(rows, keys=view.entity.keys, columns=[_column(*item) for item in view.windows.items()], since=since, until=until)


def _column(name: str, window: Window) -> WindowColumn:
    threshold = window.value.at_least if isinstance(window.value, Threshold) else None
    available = None if window.column.available == ALWAYS else window.column.available
    return WindowColumn(
        name=name,
        kind=window.kind,
        value=window.column.name,
        threshold=threshold,
        at=window.at.name,
        available=available,
        over=window.over,
        ahead=window.ahead,
    )


def _computed(floor: Floor, view: FeatureViewSpec, since: datetime, until: datetime) -> pl.DataFrame:
    instant = view.source.contract.available
    stamp = pl.lit(EPOCH, INSTANT) if instant == ALWAYS else pl.col(instant)
    rows = floor.tables[view.source.table].select(*view.entity.keys, *(col.name for col in view.columns), stamp.alias("event_timestamp"))
    given = rows.filter(pl.col("event_timestamp").is_between(since, until, closed="left"))
    return view.compute(given) if view.compute else given


def join(floor: Floor, month: str) -> None:
    """Every departure of the month with the features of all views, as known two hours before it leaves."""
    with floor.part("join"):
        rows = floor.tables["flights/departures"].filter(pl.col("month") == month)
        rows = rows.with_columns(predict_at=pl.col("scheduled_departure") - timedelta(hours=2), day=pl.col("local_day").str.to_date())
        rows = rows.sort("predict_at", "flight_id")
        for view in VIEWS:
            rows = _as_of(rows, floor.features[view.address], view)
        floor.joined.append(rows)


def _as_of(rows: pl.DataFrame, features: pl.DataFrame, view: FeatureViewSpec) -> pl.DataFrame:
    prefix = f"{view.entity.name}_{view.name}__"
    right = features.sort("event_timestamp").select(*view.entity.keys, "event_timestamp", pl.col(*view.features).name.prefix(prefix))
    found = rows.join_asof(
        right, left_on="predict_at", right_on="event_timestamp", by=list(view.entity.keys), tolerance=view.ttl, check_sortedness=False
    )
    return found.drop("event_timestamp", strict=False)


def examples(floor: Floor, spec: ModelSpec, cutoff: str) -> pl.DataFrame:
    """Every example whose label is known at the end of the cut-off."""
    with floor.part("join"):
        label = pl.col(spec.label_column.name).cast(pl.Float64)
        label = (label >= spec.label.at_least).cast(pl.Float64) if isinstance(spec.label, Threshold) else label
        known = pl.concat(floor.joined).filter(pl.col("landed_at") <= end_of(cutoff))
        rows = known.with_columns(label=label).select("flight_id", "day", "predict_at", *_columns(spec), "label")
    floor.write(f"training_set/{spec.name}/examples", rows, cutoff)
    return rows


def _columns(spec: ModelSpec) -> list[str]:
    return list(dict.fromkeys([*spec.feature_names, *(col.name for col in spec.slices)]))


@dataclass(kw_only=True)
class Heard:
    """What ``fit`` says, kept for the MLflow run."""

    said: dict[str, object] = field(default_factory=dict[str, object])
    points: list[tuple[str, float, int]] = field(default_factory=list[tuple[str, float, int]])

    def params(self, **params: object) -> None:
        """Keep settings."""
        self.said |= params

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Keep a point of a curve."""
        self.points.append((name, value, step))


def train(floor: Floor, client: MlflowClient, spec: ModelSpec, cutoff: str) -> None:
    """Fit, judge, store and put live one version."""
    rows = examples(floor, spec, cutoff)
    trained_until = (end_of(cutoff) - spec.holdout).date()
    before, held_out = rows.filter(pl.col("day") < trained_until), rows.filter(pl.col("day") >= trained_until)
    validated = pl.col("day") >= trained_until - spec.validation
    heard = Heard()
    with floor.part(f"fit {spec.name}"):
        data = TrainingData(
            train=before.filter(~validated), validation=before.filter(validated), features=spec.feature_names, seed=spec.seed
        )
        parts = spec.train(data, heard)
    pictures, good = judge(floor, spec, parts, held_out, cutoff)
    run_id = log(floor, client, spec, heard, pictures)
    if not good:
        floor.refused.append(f"{spec.name} {cutoff}")
        return
    number = floor.live[spec.name].number + 1 if spec.name in floor.live else 1
    floor.live[spec.name] = Version(number=number, parts=parts, trained_until=trained_until, training=rows, run_id=run_id)


def judge(floor: Floor, spec: ModelSpec, parts: Parts, rows: pl.DataFrame, cutoff: str) -> tuple[dict[str, str], bool]:
    """Calibration and importance on the held-out days, and whether the candidate passes the gate."""
    slices = [col.name for col in spec.slices]
    with floor.part("evaluate"):
        scored = rows.with_columns(prediction=spec.score(parts, rows))
        metrics = evaluate(task=spec.task, frame=scored, slices=slices, seed=spec.seed)
        difference, by_slice = None, ()
        if spec.name in floor.live:
            both = scored.with_columns(live_prediction=spec.score(floor.live[spec.name].parts, rows))
            difference = paired(task=spec.task, frame=both, metric=MAIN[spec.task], seed=spec.seed)
            by_slice = paired_slices(task=spec.task, frame=both, metric=MAIN[spec.task], slices=slices, seed=spec.seed)
        bounds = spec.gate or Gate()
        found = gate(evaluation=metrics, floors=bounds.floors, ceilings=bounds.ceilings, difference=difference, slices=by_slice)
        importance = permutation_importance(
            lambda frame: spec.score(parts, frame), scored, features=spec.feature_names, task=spec.task, seed=spec.seed
        )
        pictures = {"calibration.svg": calibration_svg(calibration(scored)), "importance.svg": bars_svg(importance, title="importance")}
    floor.write(f"evaluation/{spec.name}/holdout", metrics, cutoff)
    return pictures, passed(found)


def log(floor: Floor, client: MlflowClient, spec: ModelSpec, heard: Heard, pictures: dict[str, str]) -> str:
    """One MLflow run with settings, curve, dataset inputs and pictures."""
    with floor.part("mlflow"):
        found = client.get_experiment_by_name(spec.name)
        run = client.create_run(found.experiment_id if found else client.create_experiment(spec.name, (floor.home / "artifacts").as_uri()))
        run_id, now = run.info.run_id, int(time.time() * 1000)
        params = [Param(name, str(value)) for name, value in heard.said.items()]
        client.log_batch(run_id, [Metric(name, value, now, step) for name, value, step in heard.points], params)
        inputs = [Dataset(name=view.address, digest="0", source_type="delta", source=view.address) for view in spec.views]
        client.log_inputs(run_id, [DatasetInput(one, [InputTag("mlflow.data.context", "training")]) for one in inputs])
        for name, text in pictures.items():
            client.log_text(run_id, text, name)
        client.set_terminated(run_id)
    return run_id


def predict(floor: Floor, spec: ModelSpec, month: str) -> pl.DataFrame:
    """What the live version says of each departure of the month."""
    live, rows = floor.live[spec.name], floor.joined[-1]
    with floor.part("predict"):
        answers = rows.select("flight_id", "day", "predict_at", "settled_at", "never_arrives", spec.label_column.name, *_columns(spec))
        answers = answers.with_columns(prediction=spec.score(live.parts, rows), model_version=pl.lit(live.number))
        label = pl.col(spec.label_column.name).cast(pl.Float64)
        labelled = (label >= spec.label.at_least).cast(pl.Float64) if isinstance(spec.label, Threshold) else label
        mature = pl.col("settled_at") <= end_of(month)
        answers = answers.with_columns(label=pl.when(mature).then(labelled), settled=mature)
    floor.write(f"prediction/{spec.name}/batch", answers.drop("label", "settled"), month)
    floor.predicted.setdefault(spec.name, []).append(answers)
    return answers


def monitor(floor: Floor, spec: ModelSpec, month: str) -> None:
    """Profiles, drift, realised performance and the Evidently report of one month."""
    answers, live, since = floor.predicted[spec.name][-1], floor.live[spec.name], start_of(month).date()
    with floor.part("monitor"):
        reference = Reference.of(live.training, columns=spec.feature_names)
        past = pl.concat([part.select("day", *spec.feature_names) for part in (live.training, answers.filter(pl.col("day") >= since))])
        recent = past.filter(pl.col("day") >= since - HISTORY)
        drifted = drift(daily_profile(recent, columns=spec.feature_names, reference=reference), reference=reference, since=since)
        held_out = live.training.filter(pl.col("day") >= live.trained_until)
        baseline = Baseline.of(daily_losses(held_out.with_columns(prediction=spec.score(live.parts, held_out)), task=spec.task))
        realised = performance(daily_losses(answers, task=spec.task), baseline=baseline, since=since)
        metrics = evaluate(task=spec.task, frame=answers.drop_nulls("label"), slices=[col.name for col in spec.slices], seed=spec.seed)
        overall = metrics.filter((pl.col("metric") == MAIN[spec.task]) & (pl.col("slice_by") == "all"))
        floor.reached.setdefault(spec.name, {})[month] = overall["value"][0]
    floor.write(f"monitor/{spec.name}/daily", pl.concat([drifted, realised.rows], how="diagonal_relaxed"), month)
    with floor.part("report"):
        worst = [one.column for one in summary(drifted).columns][:12]
        page = floor.home / "reports" / spec.name / f"{month}.html"
        write_report(page, reference=live.training, current=answers, columns=worst, title=month, seed=spec.seed)


def replay(floor: Floor, month: str) -> None:
    """Whether a sample of the month was served what its features are now: joined again once, a table for each model."""
    with floor.part("replay"):
        place = pl.col("flight_id").hash(0).rank("ordinal").over("day")
        served = floor.joined[-1].filter(place <= REPLAYED)
        again = served.drop(name for name in served.columns if "__" in name)
        for view in VIEWS:
            again = _as_of(again, floor.features[view.address], view)
    for spec in MODELS:
        with floor.part("replay"):
            names = [name for name in spec.feature_names if "__" in name]
            rows = by_day(served, differing(served, again, names))
        floor.write(f"monitor/{spec.name}/consistency", rows, month)


def serve(floor: Floor) -> list[float]:
    """Start `bentoml serve` on the last versions, ask it once for each model, stop it."""
    for spec in MODELS:
        parts = floor.live[spec.name].parts
        parts["booster"].save_model(str(floor.home / f"{spec.name}.lgb.txt"))
        Path(floor.home, f"{spec.name}.json").write_text(json.dumps({"categories": parts["categories"]}))
    Path(floor.home, "service.py").write_text(SERVICE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = {**os.environ, "PYTHONPATH": str(Path.cwd()), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(floor.home / "bentoml")}
    command = [sys.executable, "-m", "bentoml", "serve", "service:Flights", "--port", str(port)]
    with floor.part("serve"), Path(floor.home, "serve.log").open("w") as out:
        process = subprocess.Popen(command, cwd=floor.home, env=found, stdout=out, stderr=out)
        try:
            return [_ask(spec, floor.joined[-1], port=port) for spec in MODELS]
        finally:
            process.terminate()
            process.wait(timeout=30)


def _ask(spec: ModelSpec, rows: pl.DataFrame, *, port: int, patience: float = 60) -> float:
    body = json.dumps({"model": spec.name, "examples": rows.select(spec.feature_names).head(1).to_dicts()}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", data=body, headers={"Content-Type": "application/json"})
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
                return json.load(answer)[0]
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def run(home: Path, months: Sequence[str] = YEAR) -> Floor:
    """The year: train on January to March, then predict, judge and retrain month by month."""
    floor = Floor(home=home)
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    for spec in SOURCES:
        if spec.partitions is None:
            ingest(floor, spec, None)
    for view in VIEWS:
        if view.source.partitions is None:
            build(floor, view, None)
    for month in months:
        for spec in SOURCES:
            if spec.partitions is not None:
                ingest(floor, spec, month)
        for view in VIEWS:
            if view.source.partitions is not None:
                build(floor, view, month)
        join(floor, month)
        decide(floor, client, month)
        print(f"{month} {sum(floor.wall.values()):6.1f} s", file=sys.stderr, flush=True)
    serve(floor)
    return floor


def decide(floor: Floor, client: MlflowClient, month: str) -> None:
    """Predict and judge the month once something is live, then train on everything so far."""
    if month > FIRST_CUTOFF:
        replay(floor, month)
    for spec in MODELS:
        if month > FIRST_CUTOFF:
            predict(floor, spec, month)
            monitor(floor, spec, month)
        if month >= FIRST_CUTOFF:
            train(floor, client, spec, month)


def show(floor: Floor, *, wall: float) -> None:
    """Where the time went, and what was reached month by month."""
    print(f"{'part':<20}{'wall s':>8}{'cpu s':>8}")
    for name, seconds in floor.wall.most_common():
        print(f"{name:<20}{seconds:8.1f}{floor.cpu[name]:8.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{'whole script':<20}{wall:8.1f}{time.process_time():8.1f}   peak {peak:.2f} GB")
    print(f"refused: {', '.join(floor.refused) or 'none'}")
    for spec in MODELS:
        reached = floor.reached[spec.name]
        line = "  ".join(f"{month[5:]} {value:.3f}" for month, value in reached.items())
        print(f"{spec.name} {MAIN[spec.task]}: mean {sum(reached.values()) / len(reached):.4f}   {line}")


if __name__ == "__main__":
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        show(run(Path(sys.argv[1] if len(sys.argv) > 1 else folder)), wall=time.perf_counter() - began)
