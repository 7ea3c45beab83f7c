"""The feature store as the platform uses it: a resource over Feast. Everything that Feast does badly is replaced behind its interfaces."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from pydantic import Field, field_validator

from resources.feature_store import configuration, registration, registry_lock
from resources.feature_store.asof import INSTANT, ROW
from resources.feature_store.changes import Plan, plan
from resources.feature_store.declarations import STAMP, Applied, Declarations, Service, View
from resources.feature_store.light import load_feast
from resources.feature_store.refusals import NaiveInstant, RowsChanged, UnfitExamples
from resources.lake import Lake

if TYPE_CHECKING:
    import feast

    from resources.feature_store.direct import Lookup
    from resources.feature_store.packed import PackedRows
    from resources.feature_store.scan import Read
    from resources.feature_store.serving_rows import Loaded


class FeatureStore(dg.ConfigurableResource[Any]):
    """Registry, historical retrieval and online rows of one project.

    ``home`` is the folder of ``feature_store.yaml``, ``registry.db`` and ``online.db``; ``feast -c <home>`` and ``feast ui`` work on it.
    """

    home: str
    project: str
    lake: Lake
    registry_url: str = ""
    online_url: str = ""
    offline_store: str = configuration.OFFLINE
    storage_options: dict[str, str] = Field(default_factory=dict)

    @field_validator("offline_store")
    @classmethod
    def _trusted(cls, store: str) -> str:
        return configuration.checked_offline(store, where="the feature store's settings")

    @field_validator("registry_url")
    @classmethod
    def _kept(cls, url: str) -> str:
        return configuration.checked_registry(url, where="the feature store's settings")

    @field_validator("online_url")
    @classmethod
    def _tried(cls, url: str) -> str:
        return configuration.checked_online(url, where="the feature store's settings")

    def apply(self, views: Sequence[View], services: Sequence[Service]) -> Applied:
        """Make the registry say exactly this, in one step; what is equal is left untouched, what is gone is removed with its online rows.

        Raises:
            BadDeclaration: two views share a name, a service joins a view that is not declared.
            RegistryBusy: another writer did not end.
        """
        said = self._declared(views, services)
        with self._feast() as store, registry_lock.only_writer(store.registry):
            return registration.register(store, said)

    def plan(self, views: Sequence[View], services: Sequence[Service]) -> Plan:
        """What ``apply`` would change; nothing is written.

        Raises:
            BadDeclaration: two views share a name, a service joins a view that is not declared.
        """
        with self._feast() as store:
            return plan(registration.registered(store), self._declared(views, services))

    def historical(
        self,
        service: str,
        spine: pl.DataFrame,
        *,
        at: str = "predict_at",
        versions: Mapping[str, int] | None = None,
        tell: "Callable[[Sequence[Read]], object] | None" = None,
    ) -> pl.DataFrame:
        """The spine with the features that held at ``at``: same rows, same order, same columns, then ``view__feature`` of each view.

        ``versions`` pins lake tables by address, so that a training set can be made again. ``tell`` hears what was read of each table.

        Raises:
            UnknownName: no such service. NoFeatureTable: a view's table was never written. RowsChanged: other rows came back than went in.
            UnfitExamples: a key is missing or of another type, or a column has the name of a feature.
            MovedTable: the home was copied or moved, and nothing applied since.
        """
        with self._feast(versions=versions) as store:
            found, views = _joined(store, service)
            registration.demand_here(views, uri=self.lake.uri, project=self.project)
            asked = _asked(spine, views, at=at, service=service)
            job: Any = store.get_historical_features(
                entity_df=asked,  # pyright: ignore[reportArgumentType]  # a Polars frame goes through untouched: tests/upstream
                features=found,
                full_feature_names=True,
                filter_by_created_timestamp=True,
            )
            back: pl.DataFrame = job.to_polars()
            if tell is not None:
                tell(job.metadata.reads())
        if back.height != spine.height or not back[ROW].equals(asked[ROW]):
            raise RowsChanged(service=service, rows=spine.height, back=back.height)
        features = back.drop(asked.columns)
        if twice := sorted(set(features.columns) & set(spine.columns)):
            raise UnfitExamples(what=f"feature service {service}", why=f"they have columns {', '.join(twice)} of their own")
        return pl.concat([spine, features], how="horizontal")

    def materialize(self, views: Sequence[str], *, until: datetime, since: Mapping[str, str] | None = None) -> "dict[str, Loaded]":
        """Put each key's row that holds at ``until`` online; returns what was done, by view.

        Of a view in months only those from its month in ``since`` on are looked at; of others all, and a key that its table no longer has
        is gone. The same again changes nothing, also after a kill; nothing ever goes back in event time.

        Raises:
            UnknownName: no such view. NoFeatureTable: its table was never written. NaiveInstant: ``until`` has no time zone.
            MovedTable: the home was copied or moved, and nothing applied since.
        """
        from resources.feature_store import serving_rows

        _demand_zone(until=until)
        with self._rows() as rows, self._feast() as store:
            known = store.list_feature_views()
            found = {name: registration.named(name, known, kind="feature view") for name in views}
            registration.demand_here([*found.values()], uri=self.lake.uri, project=self.project)
            return {name: serving_rows.put(store, view, rows, until=until, since=(since or {}).get(name)) for name, view in found.items()}

    def push(self, view: str, fresh: pl.DataFrame) -> int:
        """Put rows online that come from elsewhere than the lake: keys, features, ``event_timestamp``. Returns how many were new or newer.

        They expire as rows of their view do; a windowed row is trusted at its own instant and no later.

        Raises:
            UnknownName: no such view. UnfitPush: a column is missing or of another type, a key or instant is null.
        """
        from resources.feature_store import serving_rows

        with self._rows() as rows, self._feast() as store:
            found = registration.named(view, store.list_feature_views(), kind="feature view")
            return serving_rows.push(found, rows, self.project, fresh, stamp=STAMP)

    def delete(self, view: str, keys: pl.DataFrame, *, at: datetime) -> int:
        """Make keys absent from ``at`` on: no older row brings them back. Returns of how many nothing newer is known.

        Raises:
            UnknownName: no such view. NaiveInstant: ``at`` has no time zone.
        """
        from resources.feature_store import serving_rows

        _demand_zone(at=at)
        with self._rows() as rows, self._feast() as store:
            found = registration.named(view, store.list_feature_views(), kind="feature view")
            return serving_rows.delete(found, rows, self.project, keys, at=at)

    def forget(self, view: str, *, keep: Collection[str]) -> None:
        """Remove the online rows of every definition of a view but those to ``keep``."""
        with self._rows() as rows:
            rows.forget(self.project, view, keep=keep)

    def online(self, service: str, entities: pl.DataFrame, *, at: datetime, lookups: "Sequence[Lookup]" = ()) -> pl.DataFrame:
        """The entities with ``view__feature`` columns and, for each view, ``view__status`` and ``view__age`` in seconds at ``at``.

        A row is fresh, stale, ahead or absent. Only a fresh row's values are given: a stale one may have changed, one ahead of ``at`` was
        not known yet. ``lookups`` are those of a release that was trained on other definitions than the registry has now.

        Raises:
            UnknownName: no such service. UnfitExamples: a key is missing. NaiveInstant: ``at`` has no time zone.
        """
        _demand_zone(at=at)
        with self._feast() as store:
            from resources.feature_store.direct import Reader
            from resources.feature_store.online import lookup_of

            _, views = _joined(store, service)
            _demand_keys(entities, views, service=service)
            asked = lookups or [lookup_of(view) for view in views]
        with self._rows() as rows:
            return pl.concat([entities, Reader(rows, project=self.project, lookups=asked).frame(entities, at=at)], how="horizontal")

    @contextmanager
    def _rows(self) -> "Generator[PackedRows]":
        from resources.feature_store.direct import opened

        rows = opened(self.online_url, home=Path(self.home).absolute())
        try:
            yield rows
        finally:
            rows.close()

    @contextmanager
    def _feast(self, *, versions: Mapping[str, int] | None = None) -> Generator["feast.FeatureStore"]:
        """A Feast store that read the registry just now."""
        load_feast()
        from feast import FeatureStore as Store
        from feast import RepoConfig

        home = Path(self.home).absolute()
        said = configuration.settings(
            home, self.project, offline=self.offline_store, registry_url=self.registry_url, online_url=self.online_url
        )
        offline = {**said["offline_store"], "versions": dict(versions or {}), "storage_options": self.storage_options}
        if not configuration.stands(home, said):
            home.mkdir(parents=True, exist_ok=True)
            registry_lock.create(said["registry"])
            configuration.write(home, said)
        store = Store(config=RepoConfig(**{**said, "offline_store": offline}, repo_path=home))
        try:
            yield store
        finally:
            engine: Any = getattr(store.registry, "write_engine", None)
            if engine is not None:
                engine.dispose()

    def _declared(self, views: Sequence[View], services: Sequence[Service]) -> Declarations:
        return registration.declared(views, services, {view.address: self.lake.uri(view.address) for view in views})


def _demand_zone(**instants: datetime) -> None:
    for what, value in instants.items():
        if value.tzinfo is None:
            raise NaiveInstant(what=what, value=value)


def _joined(store: "feast.FeatureStore", service: str) -> "tuple[feast.FeatureService, list[feast.FeatureView]]":
    found, known = registration.named(service, store.list_feature_services(), kind="feature service"), store.list_feature_views()
    return found, [registration.named(one.name, known, kind="feature view") for one in found.feature_view_projections]


def _demand_keys(examples: pl.DataFrame, views: "Sequence[feast.FeatureView]", *, service: str) -> list[str]:
    keys = {column.name: str(column.dtype) for view in views for column in view.entity_columns}
    for key, dtype in keys.items():
        if key not in examples.columns:
            raise UnfitExamples(what=f"feature service {service}", why=f"they lack the key {key}")
        if str(examples.schema[key]) != dtype:
            raise UnfitExamples(what=f"feature service {service}", why=f"their key {key} is {examples.schema[key]}, the views have {dtype}")
    return list(keys)


def _asked(spine: pl.DataFrame, views: "Sequence[feast.FeatureView]", *, at: str, service: str) -> pl.DataFrame:
    keys = _demand_keys(spine, views, service=service)
    if at not in spine.columns or not isinstance(dtype := spine.schema[at], pl.Datetime) or dtype.time_zone is None:
        raise UnfitExamples(what=f"feature service {service}", why=f"they need a column {at} of instants with a time zone")
    return spine.select(*keys, pl.col(at).cast(INSTANT).alias(STAMP)).with_row_index(ROW)
