"""A small world for sensors: two models of the flights, an instance without runs, and a ledger; what happens is said by hand."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.keys import key, table
from mlops_assets.partitions import calendar_of, end_of
from mlops_assets.specs import Catalogue, Expanding, ModelSpec
from resources.inbox import Inbox
from resources.registry.resource import Registry
from tests.resources.registry.records import WHOLE

ONE: Final = replace(CATALOGUE.models[0], name="one", train_on=Expanding(since="2013-01", at_least=2))
TWO: Final = replace(CATALOGUE.models[1], name="two", train_on=Expanding(since="2013-01", at_least=2))
JANUARY, FEBRUARY, MARCH = "2013-01", "2013-02", "2013-03"


@dataclass(frozen=True)
class World:
    """An instance, a ledger, and the catalogue that sensors look at them with."""

    instance: dg.DagsterInstance
    registry: Registry
    catalogue: Catalogue

    def made(self, asset_key: dg.AssetKey, month: str | None, **metadata: str) -> None:
        """An asset has a month."""
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key, partition=month, metadata=metadata))

    def complete(self, *months: str) -> None:
        """Every monthly table and view has these months."""
        for month in months:
            for spec in self.catalogue.sources:
                self.made(table(spec.table), month if spec.partitions else None)
            for view in self.catalogue.views:
                self.made(table(view.address, stage="feature"), month if view.source.partitions else None)

    def judged(self, spec: ModelSpec, month: str, verdict: str = "ok") -> None:
        """The monitor has judged a month."""
        self.made(key("monitor", spec.name, "daily"), month, performance=verdict)

    def promote(self, spec: ModelSpec, month: str, *, later: timedelta = timedelta(0)) -> str:
        """A version goes live when a month has ended; returns the entry's hash."""
        data_at = end_of(month, calendar_of(self.catalogue)) + later
        content_hash = self.registry.releases().write(spec.name, {"month": month}, WHOLE, {"entry": "acme:predict"})
        entry = self.registry.register(spec.name, content_hash, mlflow_run_id="run", actor="gate", data_at=data_at)
        return self.registry.promote(spec.name, int(entry.version or 0), actor="gate", data_at=data_at).hash

    def tick(self, sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
        """What a sensor says when it looks."""
        context = dg.build_sensor_context(
            self.instance, cursor=cursor, resources={"registry": self.registry, "inbox": Inbox(root="nowhere")}
        )
        said: Any = sensor(context)
        assert isinstance(said, dg.SensorResult | dg.SkipReason)
        return said


def world(instance: dg.DagsterInstance, folder: Path, *, models: Iterable[ModelSpec] = (ONE, TWO)) -> World:
    """A world in a folder, empty."""
    registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
    return World(instance=instance, registry=registry, catalogue=replace(CATALOGUE, models=tuple(models)))


def requests(said: dg.SensorResult | dg.SkipReason) -> list[tuple[str | None, str | None]]:
    """Run key and partition of what a tick asks for."""
    runs = said.run_requests or [] if isinstance(said, dg.SensorResult) else []
    return [(one.run_key, one.partition_key) for one in runs]
