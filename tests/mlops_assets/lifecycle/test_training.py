"""What a training set and a model are made of: windows in time, the split, and what decides a model's name."""

import importlib
import json
from dataclasses import replace
from datetime import UTC as ZONE
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.features import declaration, feature_rows, service
from mlops_assets.lifecycle.io import LakeIOManager
from mlops_assets.lifecycle.training import (
    Heard,
    NotEnoughMonths,
    NothingToFit,
    signature,
    split,
    training_rows,
    training_set,
    upstream,
)
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import Expanding
from resources.feature_store.direct import Lookup
from resources.feature_store.store import FeatureStore
from resources.lake import LocalLake
from resources.registry import acts
from resources.registry.acts import By
from resources.registry.resource import Registry
from resources.registry.states import Frozen
from tests.mlops_assets.lifecycle.orders import CALENDAR, LATE, NOON, PACKAGE, asked, order, orders

MONTH = "2020-01"
ANA = By(actor="ana", data_at=NOON, why="fire")


class NoFeatures:
    """A store that joins nothing."""

    def historical(self, service: str, spine: pl.DataFrame, *, at: str, versions: object, tell: object) -> pl.DataFrame:
        assert (service, at, versions, tell) == ("late", "predict_at", {"a": 1}, None)
        return spine


def rows(source: pl.DataFrame, *, cutoff: str, spec: Any = LATE) -> tuple[pl.DataFrame, dict[str, int]]:
    return training_rows(spec, source, cutoff=cutoff, calendar=CALENDAR, store=cast("FeatureStore", NoFeatures()), versions={"a": 1})


def days(*numbers: int) -> pl.DataFrame:
    found = [date(2020, 1, number) for number in numbers]
    return pl.DataFrame({"day": found, "label": [0.0] * len(found), "items": [1] * len(found)})


def test_only_examples_with_a_label_at_the_cut_off_are_trained_on_and_the_others_are_counted() -> None:
    end = datetime(2020, 2, 1, 5, tzinfo=ZONE)
    table = orders(
        order("a"), order("lost", wait=None, lost=True), order("soon", due=end - timedelta(minutes=10), wait=20.0), order("next", due=end)
    )
    found, states = rows(table, cutoff="2020-01")
    assert found["row_id"].to_list() == ["a"]
    assert states == {"absent": 1, "mature": 1, "pending": 1 + 1}  # `next` is due in February and was predicted in January


def test_examples_before_the_first_month_of_the_window_are_left_out() -> None:
    december = order("old", due=datetime(2019, 12, 20, 17, tzinfo=ZONE))
    assert rows(orders(december, order("a")), cutoff="2020-01")[0]["row_id"].to_list() == ["a"]


def test_a_cut_off_before_the_window_is_full_is_refused_by_name() -> None:
    patient = replace(LATE, train_on=Expanding(since="2020-01", at_least=3))
    with pytest.raises(NotEnoughMonths, match="late trains on at least 3 months since 2020-01; up to 2020-01 there are 1"):
        rows(orders(order("a")), cutoff="2020-01", spec=patient)


def test_the_last_days_are_held_out_and_the_days_before_them_validate() -> None:
    data, held_out_from = split(LATE, days(1, 17, 18, 24, 25, 31), cutoff="2020-01")
    assert held_out_from == date(2020, 1, 25)
    assert data.train["day"].dt.day().to_list() == [1, 17]
    assert data.validation["day"].dt.day().to_list() == [18, 24]


def test_a_training_set_that_ends_before_the_validation_days_is_refused() -> None:
    with pytest.raises(NothingToFit, match="late 2020-01: of 1 examples none lies before"):
        split(LATE, days(20), cutoff="2020-01")


def test_a_signature_tells_a_worker_the_code_the_fields_and_rows_with_their_answers() -> None:
    frame = pl.DataFrame({"order_id": ["a", "b"], "items": [1, 2], "stall_lately__wait_2h": [None, 1.0], "stall_lately__handed_2h": [0, 1]})
    said = signature(LATE, {"mean": 0.5}, frame, package=PACKAGE, views={"stall_lately": "trained on"})
    assert said["entry"] == "tests.mlops_assets.lifecycle.orders:predict"
    assert list(said["request"]) == ["order_id"]
    assert list(said["features"]) == list(LATE.feature_names)
    view = replace(declaration(LATE.views[0], package=PACKAGE), spec_hash="trained on")
    (lookup,) = (Lookup.of(one) for one in json.loads(json.dumps(said["lookups"], sort_keys=True)))
    assert lookup == Lookup.declared(view)
    assert [*lookup.features] == [*view.features] != sorted(view.features), "the order of the features is that of the packed bytes"
    assert said["probe"]["predictions"] == [0.51, 0.52]


def test_a_release_is_probed_with_its_parts_as_a_worker_will_have_them() -> None:
    onnx: Any = importlib.import_module("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", [None, 1]), ("y", [None]))]
    weights = [onnx.numpy_helper.from_array(np.array([0.25], dtype=np.float32), "w")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", values[:1], values[1:], weights)
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    frame = pl.DataFrame({"order_id": ["a", "b"], "items": [1, 2], "stall_lately__wait_2h": [None, 1.0], "stall_lately__handed_2h": [0, 1]})
    said = signature(replace(LATE, score=asked), {"net": net}, frame, package=PACKAGE, views={})
    assert said["probe"]["predictions"] == [0.25, 0.5]
    assert [one["order_id"] for one in said["probe"]["examples"]] == ["a", "b"]


def test_what_fit_says_is_passed_on_and_kept() -> None:
    class Log:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def params(self, **params: object) -> None:
            self.heard.append(params)

        def metric(self, name: str, value: float, *, step: int = 0) -> None:
            self.heard.append((name, value, step))

    log = Log()
    heard = Heard(log)
    heard.params(trees=3)
    heard.metric("loss", 0.5, step=1)
    assert heard.said == {"trees": 3}
    assert log.heard == [{"trees": 3}, ("loss", 0.5, 1)]


class Counter:
    """The asset of a training set over one month of two orders, with their features built."""

    def __init__(self, folder: Path) -> None:
        self.lake = LocalLake(root=str(folder / "lake"))
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.store, (view,) = FeatureStore(home=str(folder / "features"), project="counter", lake=self.lake), LATE.views
        table = orders(order("a"), order("b", due=NOON + timedelta(hours=2)))
        made = feature_rows(view, table, since=start_of(MONTH, CALENDAR), until=end_of(MONTH, CALENDAR))
        self.lake.replace(f"table/{LATE.examples.table}", table, partition=MONTH)
        self.lake.replace(f"feature/{view.address}", made, partition=MONTH)
        self.store.apply([declaration(view, package=PACKAGE)], [service(LATE)])
        partitions = dg.StaticPartitionsDefinition([MONTH])
        self.assets = [
            training_set(LATE, package=PACKAGE, calendar=CALENDAR, partitions_def=partitions),
            *(dg.AssetSpec(one, partitions_def=partitions) for one in upstream(LATE)),
        ]

    def materialize(self) -> dg.ExecuteInProcessResult:
        io = LakeIOManager(lake=self.lake)
        resources = {IO_MANAGER: io, "lake": self.lake, "feature_store": self.store, "registry": self.registry}
        return dg.materialize(self.assets, partition_key=MONTH, resources=resources)


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # Dagster's own call for a resource in a resource
def test_the_page_of_a_training_set_says_what_was_read_of_the_feature_tables(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    (page,) = counter.materialize().asset_materializations_for_node("training_set__late__examples")
    told: dict[str, Any] = {name: page.metadata[name].value for name in ("files_read", "bytes_read", "labels_mature")}
    (file,) = (tmp_path / "lake" / "feature" / LATE.views[0].address).rglob("*.parquet")
    assert (told["files_read"], told["labels_mature"]) == (1, 2)
    assert 0 < told["bytes_read"] < file.stat().st_size, "the columns of the join, not the file with its footer"


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # as above
def test_a_freeze_that_began_after_the_code_was_loaded_stops_a_training_before_its_examples_are_made(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    acts.freeze(counter.registry.desk(), ANA)
    with pytest.raises(
        Frozen, match=r"^late: the platform is frozen since .* by ana: fire\. Nothing was trained; what is live stays live\."
    ):
        counter.materialize()
    assert not counter.lake.exists("training_set/late/examples")
    acts.unfreeze(counter.registry.desk(), ANA)
    assert counter.materialize().success
