"""What the feature store is told: views over lake tables and services over views. Plain data; imports nothing heavy, does nothing."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from resources.feature_store.refusals import BadDeclaration

Dtype = Literal["string", "int64", "float64", "bool"]
DTYPES: Final[tuple[Dtype, ...]] = ("string", "int64", "float64", "bool")
KEY_DTYPES: Final[tuple[Dtype, ...]] = ("string", "int64")

STAMP: Final = "event_timestamp"
"""The column of a feature table that says from which instant its row holds."""
MONTH: Final = "month"
"""The partition column; of two rows with the same key and instant the one of the later month holds."""
RESERVED: Final = frozenset({STAMP, MONTH, "status"})


@dataclass(frozen=True, kw_only=True)
class View:
    """Features of one entity in one lake table.

    ``keys`` identify a row; each is text unless ``key_types`` says ``int64``. ``ttl`` bounds the age of a ``compute`` view's row,
    inclusively; a windowed view says its longest ``window`` instead, so that the online store knows for how long its last row can be
    trusted. ``spec_hash`` is the caller's: it changes when the numbers may change.
    """

    name: str
    entity: str
    keys: tuple[str, ...]
    address: str
    features: Mapping[str, Dtype]
    spec_hash: str
    partitioned: bool = True
    ttl: timedelta | None = None
    window: timedelta | None = None
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    feature_docs: Mapping[str, str] = field(default_factory=dict[str, str])
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    key_types: Mapping[str, Dtype] = field(default_factory=dict[str, Dtype])

    def __post_init__(self) -> None:
        if not self.keys or not self.features:
            raise BadDeclaration(view=self.full_name, why="it needs at least one key and one feature")
        if unfit := sorted(name for name in (*self.features, *self.keys) if "__" in name or name in RESERVED):
            raise BadDeclaration(view=self.full_name, why=f"the platform uses the name {', '.join(unfit)}, or all with two underscores")
        if twice := sorted(set(self.keys) & set(self.features)):
            raise BadDeclaration(view=self.full_name, why=f"{', '.join(twice)} is a key and a feature")
        if odd := sorted({*self.features.values()} - {*DTYPES}):
            raise BadDeclaration(view=self.full_name, why=f"a feature is {', '.join(odd)}, not one of {', '.join(DTYPES)}")
        if odd := sorted({self.key_type(key) for key in self.keys} - {*KEY_DTYPES}):
            raise BadDeclaration(view=self.full_name, why=f"a key is {', '.join(odd)}, not one of {', '.join(KEY_DTYPES)}")

    @property
    def full_name(self) -> str:
        """The name in Feast, and the prefix of the columns: ``entity_view``."""
        return f"{self.entity}_{self.name}"

    def key_type(self, key: str) -> Dtype:
        """The type of one key column."""
        return self.key_types.get(key, "string")

    @property
    def layout(self) -> str:
        """Names what an online row holds; rows of another layout read as absent until they are written anew."""
        said = json.dumps({"spec": self.spec_hash, "keys": self.keys, "features": list(self.features.items())}, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Service:
    """The views that a model joins, by their full names, in the order of its columns."""

    name: str
    views: tuple[str, ...]
    owner: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Declarations:
    """What a registry says or shall say, by name. A view is None where something else than the platform registered it.

    ``uris``: where the table of each view lies.
    """

    views: Mapping[str, View | None]
    services: Mapping[str, Service]
    uris: Mapping[str, str]

    def joining(self, view: str) -> tuple[str, ...]:
        """The services that join a view."""
        return tuple(name for name, service in self.services.items() if view in service.views)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What the registry holds after an ``apply``: the spec hash of every view, and the views and services that were written now."""

    views: Mapping[str, str]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
