"""Declarations to Feast objects and back, and their one writer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from resources.feature_store.changes import Plan, plan
from resources.feature_store.declarations import MONTH, Applied, Declarations, Dtype, Service, View
from resources.feature_store.refusals import BadDeclaration, MovedTable, UnknownName

if TYPE_CHECKING:
    import feast
    from feast.value_type import ValueType

    Named = TypeVar("Named", feast.FeatureView, feast.FeatureService)

ENTITY: Final = "entity"
SPEC_HASH: Final = "spec_hash"
LAYOUT: Final = "layout"
WINDOW: Final = "window_seconds"
VERSION: Final = "version"
HISTORY: Final = "version/"
"""Prefix of the tags that say since when each version of a view is declared, and with which spec."""
JOINED: Final = "view/"
"""Prefix of the tags of a service that say with which version of each view it was declared."""
UNIT: Final = "unit"
SHOWN: Final = 12
"""Characters of a spec hash that tell definitions apart for people; the whole one is in its own tag."""
OURS: Final = frozenset({ENTITY, SPEC_HASH, LAYOUT, WINDOW, VERSION})
PLACEHOLDER: Final = "__dummy"
"""The entity that Feast registers of its own accord."""


def declared(views: Sequence[View], services: Sequence[Service], uris: Mapping[str, str]) -> Declarations:
    """What the registry shall say. ``uris``: where each view's table lies, by address.

    Raises:
        BadDeclaration: two views share a name, a service joins a view that is not declared.
    """
    _demand_sense(views, services)
    return Declarations(
        views={view.full_name: view for view in views},
        services={service.name: service for service in services},
        uris={view.full_name: uris[view.address] for view in views},
    )


def registered(store: "feast.FeatureStore") -> Declarations:
    """What the registry says now."""
    views = store.list_feature_views()
    return Declarations(
        views={view.name: _view(view) for view in views},
        services={service.name: _service(service) for service in store.list_feature_services()},
        uris={view.name: str(getattr(view.batch_source, "uri", "")) for view in views},
    )


def register(store: "feast.FeatureStore", said: Declarations) -> Applied:
    """Make the registry say exactly this; only what differs is written. Whoever calls is the only writer."""
    due = plan(registered(store), said)
    if due:
        _write(store, said, due)
    hashes = {name: view.spec_hash for name, view in said.views.items() if view is not None}
    return Applied(views=hashes, changed=due.written, removed=due.removed)


def _write(store: "feast.FeatureStore", said: Declarations, due: Plan) -> None:
    views = [view for view in said.views.values() if view is not None]
    known, entities = {view.name: view for view in store.list_feature_views()}, entities_of(views)
    made = {
        view.full_name: feature_view(view, said.uris[view.full_name], entities, _versions(view, known.get(view.full_name)))
        for view in views
    }
    written = [made[one.view] for one in due.views if one.view in made]
    services = [_feature_service(said.services[name], made) for name in due.services if name in said.services]
    sources: list[Any] = [view.batch_source for view in written]
    used = {*entities, PLACEHOLDER, *(view.address for view in views)}
    orphans = [one for one in [*store.list_data_sources(), *store.list_entities()] if one.name not in used]
    gone = [one for one in store.list_feature_services() if one.name not in said.services]
    gone_views = [view for name, view in known.items() if name not in said.views]
    _forget_torn_down(store, [name for name in made if name not in known])
    store.apply([*entities.values(), *sources, *written, *services], objects_to_delete=[*gone, *gone_views, *orphans], partial=False)


def _forget_torn_down(store: "feast.FeatureStore", names: Sequence[str]) -> None:
    """``feast teardown`` leaves the history of its views, and Feast cannot register a view as new whose history is there."""
    from feast.infra.registry.sql import feature_view_version_history as history

    registry: Any = store.registry
    with registry.write_engine.begin() as connection:
        connection.execute(history.delete().where(history.c.project_id == store.project, history.c.feature_view_name.in_(names)))


def feature_view(
    view: View, uri: str, entities: Mapping[str, "feast.Entity"], versions: Mapping[str, str] | None = None
) -> "feast.FeatureView":
    """The Feast view of a declaration whose table lies at ``uri``; ``versions`` are the tags of its history."""
    import feast

    from resources.feature_store.delta import DeltaSource

    window = {} if view.window is None else {WINDOW: str(view.window.total_seconds())}
    ours = {ENTITY: view.entity, SPEC_HASH: view.spec_hash, LAYOUT: view.layout, **window, **(versions or {})}
    return feast.FeatureView(
        name=view.full_name,
        entities=[entities[key] for key in view.keys],
        ttl=view.ttl,
        schema=[_field(key, view.key_type(key), f"Key of {view.entity}.") for key in view.keys]
        + [_field(name, dtype, view.feature_docs.get(name, ""), view.units.get(name)) for name, dtype in view.features.items()],
        source=DeltaSource(
            name=view.address,
            uri=uri,
            date_partition_column=MONTH if view.partitioned else "",
            owner=view.owner,
            description=f"Lake table behind {view.full_name}.",
        ),
        owner=view.owner,
        description=view.description,
        tags={**view.tags, **ours},
    )


def _view(found: "feast.FeatureView") -> View | None:
    """The declaration of a Feast view; None if it is none of the platform's."""
    source: Any = found.batch_source
    tags, fields = found.tags, found.features
    known: dict[ValueType, Dtype] = {value: dtype for dtype, value in _value_types().items()}
    types: dict[str, Dtype] = {field.name: known[value] for field in found.schema if (value := field.dtype.to_value_type()) in known}
    if not {ENTITY, SPEC_HASH} <= tags.keys() or not hasattr(source, "uri") or len(types) < len(found.schema):
        return None
    return View(
        name=found.name.removeprefix(f"{tags[ENTITY]}_"),
        entity=tags[ENTITY],
        keys=tuple(found.entities),
        key_types={key: types[key] for key in found.entities},
        address=source.name,
        features={field.name: types[field.name] for field in fields},
        feature_docs={field.name: field.description for field in fields},
        units={field.name: field.tags[UNIT] for field in fields if UNIT in field.tags},
        partitioned=bool(source.date_partition_column),
        ttl=found.ttl or None,
        window=timedelta(seconds=float(tags[WINDOW])) if WINDOW in tags else None,
        owner=found.owner,
        description=found.description,
        tags={name: text for name, text in tags.items() if name not in OURS and not name.startswith(HISTORY)},
        spec_hash=tags[SPEC_HASH],
    )


def _service(found: "feast.FeatureService") -> Service:
    return Service(
        name=found.name,
        views=tuple(one.name for one in found.feature_view_projections),
        owner=found.owner,
        description=found.description,
        tags={name: text for name, text in found.tags.items() if not name.startswith(JOINED)},
    )


def _feature_service(service: Service, views: "Mapping[str, feast.FeatureView]") -> "feast.FeatureService":
    import feast

    joined = {JOINED + name: f"{views[name].tags[VERSION]} {views[name].tags[SPEC_HASH][:SHOWN]}" for name in service.views}
    return feast.FeatureService(
        name=service.name,
        features=[views[name] for name in service.views],
        owner=service.owner,
        description=service.description,
        tags={**service.tags, **joined},
    )


def _versions(view: View, before: "feast.FeatureView | None") -> dict[str, str]:
    """The tags of a view's history: what it says already, and a new version if numbers may differ from those of the last."""
    tags = {} if before is None else before.tags
    history = {name: text for name, text in tags.items() if name.startswith(HISTORY)}
    last = int(tags.get(VERSION, 0))
    if tags.get(LAYOUT) == view.layout and last:
        return {**history, VERSION: str(last)}
    return {**history, VERSION: str(last + 1), f"{HISTORY}{last + 1}": f"{view.spec_hash[:SHOWN]} {datetime.now(UTC):%Y-%m-%d}"}


def named(name: str, known: "Sequence[Named]", *, kind: str) -> "Named":
    """The registered view or service of this name.

    Raises:
        UnknownName: there is none.
    """
    found = {one.name: one for one in known}
    if name not in found:
        raise UnknownName(kind=kind, name=name, known=found)
    return found[name]


def demand_here(views: "Sequence[feast.FeatureView]", *, uri: Callable[[str], str], project: str) -> None:
    """Refuse to read views that the platform declared from elsewhere than ``uri`` says of the address of their table.

    Raises:
        MovedTable: a view is registered with another place.
    """
    for view in views:
        source: Any = view.batch_source
        there, ours = getattr(source, "uri", None), SPEC_HASH in view.tags
        if ours and there is not None and Path(there).resolve() != Path(here := uri(source.name)).resolve():  # a link leads to the same
            raise MovedTable(view=view.name, registered=there, here=here, project=project)


def _demand_sense(views: Sequence[View], services: Sequence[Service]) -> None:
    names = [view.full_name for view in views]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadDeclaration(view=", ".join(twice), why="the name is used twice")
    types: dict[str, Dtype] = {}
    for view in views:
        for key in view.keys:
            if types.setdefault(key, view.key_type(key)) != view.key_type(key):
                raise BadDeclaration(view=view.full_name, why=f"its key {key} is {view.key_type(key)}, elsewhere {types[key]}")
    for service in services:
        if missing := sorted(set(service.views) - set(names)):
            raise BadDeclaration(view=service.name, why=f"it joins {', '.join(missing)}, which is not declared")


def entities_of(views: Sequence[View]) -> dict[str, "feast.Entity"]:
    """An entity a key column, so that views with composite keys share them."""
    import feast

    keyed = {key: [view for view in views if key in view.keys] for key in dict.fromkeys(key for view in views for key in view.keys)}
    return {
        key: feast.Entity(
            name=key,
            join_keys=[key],
            value_type=_value_types()[mine[0].key_type(key)],
            description=f"Key column of {', '.join(sorted({view.entity for view in mine}))}.",
            owner=", ".join(sorted({view.owner for view in mine})),
        )
        for key, mine in keyed.items()
    }


def _field(name: str, dtype: Dtype, description: str, unit: str | None = None) -> "feast.Field":
    import feast
    from feast.types import from_value_type

    return feast.Field(name=name, dtype=from_value_type(_value_types()[dtype]), description=description, tags={UNIT: unit} if unit else {})


def _value_types() -> "dict[Dtype, ValueType]":
    from feast.value_type import ValueType

    return {"string": ValueType.STRING, "int64": ValueType.INT64, "float64": ValueType.DOUBLE, "bool": ValueType.BOOL}
