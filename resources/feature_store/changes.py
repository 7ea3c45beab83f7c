"""What an apply would change: pure, from what is registered and what is declared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from resources.feature_store.declarations import Declarations, View

Kind = Literal["new", "changed", "gone"]
Part = Literal["origin", "keys", "features", "ttl", "window", "function", "table", "docs"]
"""What differs: ``origin``, the view is registered by something else than the platform; ``function``, the same columns from other code or
other settings of a window; ``table``, where the rows lie; ``docs``, owner, description, level, units, tags: no number changes."""

DEFINING: Final[tuple[Part, ...]] = ("keys", "features", "ttl", "window")


@dataclass(frozen=True, kw_only=True)
class ViewChange:
    """One view that an apply would write or remove, and the services that join it, registered or declared."""

    view: str
    kind: Kind
    parts: tuple[Part, ...] = ()
    services: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" in {', '.join(self.parts)}" if self.parts else ""
        touched = f"touches {', '.join(self.services)}" if self.services else "no service joins it"
        return f"{self.view}: {self.kind}{where}; {touched}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that an apply would write or remove; a service is changed when it is declared otherwise or joins a view that is written."""

    views: tuple[ViewChange, ...]
    services: Mapping[str, Kind]

    def __bool__(self) -> bool:
        return bool(self.views or self.services)

    def __str__(self) -> str:
        lines = [*map(str, self.views), *(f"{name}: {kind}" for name, kind in self.services.items())]
        return "\n".join(lines) or "The registry says what is declared."

    @property
    def written(self) -> tuple[str, ...]:
        """The views, then the services, that would be written."""
        return (*(one.view for one in self.views if one.kind != "gone"), *(name for name, kind in self.services.items() if kind != "gone"))

    @property
    def removed(self) -> tuple[str, ...]:
        """The services, then the views, that would be removed."""
        return (*(name for name, kind in self.services.items() if kind == "gone"), *(one.view for one in self.views if one.kind == "gone"))


def plan(registered: Declarations, declared: Declarations) -> Plan:
    """What makes ``registered`` equal ``declared``: views in the order of their declarations, then those that are gone."""
    views = tuple(_views(registered, declared))
    written = {one.view for one in views if one.kind != "gone"}
    services: dict[str, Kind] = {}
    for name, service in declared.services.items():
        if name not in registered.services:
            services[name] = "new"
        elif registered.services[name] != service or written & {*service.views}:
            services[name] = "changed"
    services.update({name: "gone" for name in registered.services if name not in declared.services})
    return Plan(views=views, services=services)


def _views(registered: Declarations, declared: Declarations) -> Iterator[ViewChange]:
    touched = {view: tuple(sorted({*registered.joining(view), *declared.joining(view)})) for view in {*registered.views, *declared.views}}
    for name, view in declared.views.items():
        if view is None:
            continue
        if name not in registered.views:
            yield ViewChange(view=name, kind="new", services=touched[name])
        elif parts := _parts(registered.views[name], view, registered.uris.get(name), declared.uris.get(name)):
            yield ViewChange(view=name, kind="changed", parts=parts, services=touched[name])
    for name in registered.views:
        if name not in declared.views:
            yield ViewChange(view=name, kind="gone", services=touched[name])


def _parts(before: View | None, after: View, uri_before: str | None, uri_after: str | None) -> tuple[Part, ...]:
    if before is None:
        return ("origin",)
    said = _facets(before, uri_before), _facets(after, uri_after)
    parts: list[Part] = [part for part in said[0] if said[0][part] != said[1][part]]
    if before.spec_hash != after.spec_hash and not {*parts} & {*DEFINING}:
        parts.append("function")
    return tuple(parts)


def _facets(view: View, uri: str | None) -> dict[Part, object]:
    """What each part of a view says, equal for equal meanings."""
    return {
        "keys": [view.entity, *((key, view.key_type(key)) for key in view.keys)],
        "features": [*view.features.items()],
        "ttl": view.ttl,
        "window": view.window,
        "table": (view.address, view.partitioned, uri),
        "docs": (
            view.owner,
            view.description,
            dict(view.tags),
            *({name: text for name, text in said.items() if text} for said in (view.feature_docs, view.units)),
        ),
    }
