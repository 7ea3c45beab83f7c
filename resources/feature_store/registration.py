"""Declarations to Feast objects, and their one writer. Whoever calls ``register`` holds the lock."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from resources.feature_store.declarations import MONTH, Applied, Dtype, Service, View
from resources.feature_store.refusals import BadDeclaration, UnknownName

if TYPE_CHECKING:
    import feast
    from feast.value_type import ValueType

    Named = TypeVar("Named", feast.FeatureView, feast.FeatureService)

FINGERPRINT: Final = "fingerprint"
SPEC_HASH: Final = "spec_hash"
LAYOUT: Final = "layout"
WINDOW: Final = "window_seconds"
Thing = tuple[Literal["view", "service"], str]
PLACEHOLDER: Final = "__dummy"
"""The entity that Feast registers of its own accord."""


def register(store: "feast.FeatureStore", views: Sequence[View], services: Sequence[Service], uris: Mapping[str, str]) -> Applied:
    """Make the registry say exactly this; only what differs is written. ``uris``: where each view's table lies, by address."""
    import feast

    _demand_sense(views, services)
    known: dict[Thing, Any] = {("service", one.name): one for one in store.list_feature_services()}
    known |= {("view", one.name): one for one in store.list_feature_views()}
    view_prints = {view.full_name: view.fingerprint(uris[view.address]) for view in views}
    prints: dict[Thing, str] = {("view", name): said for name, said in view_prints.items()}
    prints |= {("service", service.name): service.fingerprint(view_prints) for service in services}
    changed = [thing for thing, said in prints.items() if thing not in known or known[thing].tags.get(FINGERPRINT) != said]
    gone = [one for thing, one in known.items() if thing not in prints]
    if changed or gone:
        entities = entities_of(views)
        made = {view.full_name: feature_view(view, uris[view.address], entities, view_prints[view.full_name]) for view in views}
        things: dict[Thing, Any] = {("view", name): one for name, one in made.items()}
        for service in services:
            things["service", service.name] = feast.FeatureService(
                name=service.name,
                features=[made[name] for name in service.views],
                owner=service.owner,
                description=service.description,
                tags={**service.tags, FINGERPRINT: prints["service", service.name]},
            )
        sources: list[Any] = [made[name].batch_source for kind, name in changed if kind == "view"]
        used = {*entities, PLACEHOLDER, *(view.address for view in views)}
        orphans = [one for one in [*store.list_data_sources(), *store.list_entities()] if one.name not in used]
        store.apply(
            [*entities.values(), *sources, *(things[thing] for thing in changed)], objects_to_delete=[*gone, *orphans], partial=False
        )
    names = tuple(name for _, name in changed), tuple(one.name for one in gone)
    return Applied(views={view.full_name: view.spec_hash for view in views}, changed=names[0], removed=names[1])


def feature_view(view: View, uri: str, entities: Mapping[str, "feast.Entity"], fingerprint: str) -> "feast.FeatureView":
    """The Feast view of a declaration whose table lies at ``uri``."""
    import feast

    from resources.feature_store.delta import DeltaSource

    window = {} if view.window is None else {WINDOW: str(view.window.total_seconds())}
    return feast.FeatureView(
        name=view.full_name,
        entities=[entities[key] for key in view.keys],
        ttl=view.ttl,
        schema=[_field(key, view.key_type(key), f"Key of {view.entity}.") for key in view.keys]
        + [_field(name, dtype, view.feature_docs.get(name, "")) for name, dtype in view.features.items()],
        source=DeltaSource(
            name=view.address,
            uri=uri,
            date_partition_column=MONTH if view.partitioned else "",
            owner=view.owner,
            description=f"Lake table behind {view.full_name}.",
        ),
        owner=view.owner,
        description=view.description,
        tags={**view.tags, **window, SPEC_HASH: view.spec_hash, LAYOUT: view.layout, FINGERPRINT: fingerprint},
    )


def named(name: str, known: "Sequence[Named]", *, kind: str) -> "Named":
    """The registered view or service of this name.

    Raises:
        UnknownName: there is none.
    """
    found = {one.name: one for one in known}
    if name not in found:
        raise UnknownName(kind=kind, name=name, known=found)
    return found[name]


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
            value_type=_value_type(mine[0].key_type(key)),
            description=f"Key column of {', '.join(sorted({view.entity for view in mine}))}.",
            owner=", ".join(sorted({view.owner for view in mine})),
        )
        for key, mine in keyed.items()
    }


def _field(name: str, dtype: Dtype, description: str) -> "feast.Field":
    import feast
    from feast.types import from_value_type

    return feast.Field(name=name, dtype=from_value_type(_value_type(dtype)), description=description)


def _value_type(dtype: Dtype) -> "ValueType":
    from feast.value_type import ValueType

    return {"string": ValueType.STRING, "int64": ValueType.INT64, "float64": ValueType.DOUBLE, "bool": ValueType.BOOL}[dtype]
