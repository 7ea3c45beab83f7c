"""Declarations to Feast objects, and their one writer. Whoever calls ``register`` holds the lock."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from resources.feature_store.declarations import MONTH, Applied, Dtype, Service, View
from resources.feature_store.refusals import BadDeclaration, UnknownName

if TYPE_CHECKING:
    import feast
    from feast.value_type import ValueType

FINGERPRINT: Final = "fingerprint"
SPEC_HASH: Final = "spec_hash"
LAYOUT: Final = "layout"
WINDOW: Final = "window_seconds"
PLACEHOLDER: Final = "__dummy"
"""The entity that Feast registers of its own accord."""


def register(store: "feast.FeatureStore", views: Sequence[View], services: Sequence[Service], uris: Mapping[str, str]) -> Applied:
    """Make the registry say exactly this; only what differs is written. ``uris``: where each view's table lies, by address."""
    _demand_sense(views, services)
    registry = Registered(store)
    prints = {view.full_name: view.fingerprint(uris[view.address]) for view in views}
    service_prints = {service.name: service.fingerprint(prints) for service in services}
    changed_views = [view for view in views if registry.views.get(view.full_name) != prints[view.full_name]]
    changed_services = [service for service in services if registry.services.get(service.name) != service_prints[service.name]]
    gone = registry.without({view.full_name for view in views}, {service.name for service in services})
    if changed_views or changed_services or gone:
        made = Objects(views, uris, prints)
        fresh = [*made.of(changed_views), *(made.service(service, service_prints[service.name]) for service in changed_services)]
        store.apply(fresh, objects_to_delete=[*gone, *registry.orphans(views)], partial=False)
    return Applied(
        views={view.full_name: view.spec_hash for view in views},
        changed=tuple(view.full_name for view in changed_views) + tuple(service.name for service in changed_services),
        removed=tuple(thing.name for thing in gone),
    )


class Registered:
    """What the registry holds now: fingerprints by name."""

    def __init__(self, store: "feast.FeatureStore") -> None:
        self._store = store
        self._view_objects = {view.name: view for view in store.list_feature_views()}
        self._service_objects = {service.name: service for service in store.list_feature_services()}
        self.views = {name: view.tags.get(FINGERPRINT) for name, view in self._view_objects.items()}
        self.services = {name: service.tags.get(FINGERPRINT) for name, service in self._service_objects.items()}

    def without(self, views: set[str], services: set[str]) -> list[Any]:
        """The views and services that are registered and not among these."""
        old_services = [service for name, service in self._service_objects.items() if name not in services]
        return old_services + [view for name, view in self._view_objects.items() if name not in views]

    def orphans(self, views: Sequence[View]) -> list[Any]:
        """The sources and entities that none of these views uses."""
        addresses, keys = {view.address for view in views}, {key for view in views for key in view.keys}
        sources = [source for source in self._store.list_data_sources() if source.name not in addresses]
        return sources + [entity for entity in self._store.list_entities() if entity.name not in keys | {PLACEHOLDER}]


class Objects:
    """Feast objects of these views; an entity a key column, so that views with composite keys share them."""

    def __init__(self, views: Sequence[View], uris: Mapping[str, str], prints: Mapping[str, str]) -> None:
        self._uris = uris
        self._prints = prints
        self._entities = {key: _entity(key, [view for view in views if key in view.keys]) for view in views for key in view.keys}
        self._views = {view.full_name: self._view(view) for view in views}

    def of(self, views: Sequence[View]) -> list[Any]:
        """The entities, sources and views to write for these."""
        keys = dict.fromkeys(key for view in views for key in view.keys)
        made = [self._views[view.full_name] for view in views]
        return [*(self._entities[key] for key in keys), *(view.batch_source for view in made), *made]

    def service(self, service: Service, fingerprint: str) -> "feast.FeatureService":
        """The service, over the views as they are declared now."""
        import feast

        return feast.FeatureService(
            name=service.name,
            features=[self._views[name] for name in service.views],
            owner=service.owner,
            description=service.description,
            tags={**service.tags, FINGERPRINT: fingerprint},
        )

    def _view(self, view: View) -> "feast.FeatureView":
        import feast

        from resources.feature_store.delta import DeltaSource

        source = DeltaSource(
            name=view.address,
            uri=self._uris[view.address],
            date_partition_column=MONTH if view.partitioned else "",
            owner=view.owner,
            description=f"Lake table behind {view.full_name}.",
        )
        window = {} if view.window is None else {WINDOW: str(view.window.total_seconds())}
        return feast.FeatureView(
            name=view.full_name,
            entities=[self._entities[key] for key in view.keys],
            ttl=view.ttl,
            schema=[_field(key, view.key_type(key), f"Key of {view.entity}.") for key in view.keys]
            + [_field(name, dtype, view.feature_docs.get(name, "")) for name, dtype in view.features.items()],
            source=source,
            owner=view.owner,
            description=view.description,
            tags={**view.tags, **window, SPEC_HASH: view.spec_hash, LAYOUT: view.layout, FINGERPRINT: self._prints[view.full_name]},
        )


def view_named(store: "feast.FeatureStore", name: str) -> "feast.FeatureView":
    """A registered view.

    Raises:
        UnknownName: there is none of this name.
    """
    known = {view.name: view for view in store.list_feature_views()}
    if name not in known:
        raise UnknownName(kind="feature view", name=name, known=known)
    return known[name]


def service_named(store: "feast.FeatureStore", name: str) -> "feast.FeatureService":
    """A registered service.

    Raises:
        UnknownName: there is none of this name.
    """
    known = {service.name: service for service in store.list_feature_services()}
    if name not in known:
        raise UnknownName(kind="feature service", name=name, known=known)
    return known[name]


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


def _entity(key: str, views: Sequence[View]) -> "feast.Entity":
    import feast

    entities = sorted({view.entity for view in views})
    owners = sorted({view.owner for view in views})
    return feast.Entity(
        name=key,
        join_keys=[key],
        value_type=_value_type(views[0].key_type(key)),
        description=f"Key column of {', '.join(entities)}.",
        owner=", ".join(owners),
    )


def _field(name: str, dtype: Dtype, description: str) -> "feast.Field":
    import feast
    from feast.types import from_value_type

    return feast.Field(name=name, dtype=from_value_type(_value_type(dtype)), description=description)


def _value_type(dtype: Dtype) -> "ValueType":
    from feast.value_type import ValueType

    return {"string": ValueType.STRING, "int64": ValueType.INT64, "float64": ValueType.DOUBLE, "bool": ValueType.BOOL}[dtype]
