"""The errors of the feature store. Each takes data and says what, which, with what consequence, and what to do."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from resources.errors import PlatformError


class FeatureStoreError(PlatformError):
    """Root of what the feature store refuses."""


class BadDeclaration(FeatureStoreError):
    """A view or service that cannot mean anything."""

    def __init__(self, *, view: str, why: str) -> None:
        super().__init__(f"{view} cannot be a feature view or service: {why}. Nothing was registered. Mend the declaration.")


class RefusedOfflineStore(FeatureStoreError):
    """An offline store that is known to give wrong training rows, or not known to give right ones."""

    def __init__(self, *, store: str, why: str, where: str) -> None:
        super().__init__(
            f"offline store {store!r} in {where} is refused: {why}. No features were read. "
            "Use resources.feature_store.offline.PolarsOfflineStore, or pass tests/ports/test_offline_store.py with another first."
        )


class RefusedRegistry(FeatureStoreError):
    """A feature registry that loses what it is told."""

    def __init__(self, *, registry: str, why: str, where: str) -> None:
        super().__init__(
            f"feature registry {registry!r} in {where} is refused: {why}. Nothing was read or written. "
            "Use registry_type sql with a path of sqlite:////folder/registry.db or postgresql+psycopg://user@host/database."
        )


class UnreadableConfiguration(FeatureStoreError):
    """A ``feature_store.yaml`` that is not the platform's to replace, or is no configuration at all."""

    def __init__(self, *, path: str, why: str) -> None:
        super().__init__(
            f"{path} {why}, so the feature store was not opened and the file was left as it is. "
            "Move it away: the platform writes its own at the next use."
        )


class RegistryBusy(FeatureStoreError):
    """A writer of the feature registry that does not end."""

    def __init__(self, *, url: str, seconds: int) -> None:
        super().__init__(
            f"the feature registry {url} was being written by another process for {seconds} s, so nothing was applied here. "
            "Look for a run of feature/<project>/registry or a feast command that hangs; end it and run this again: its lock goes with it."
        )


class RefusedOnlineStore(FeatureStoreError):
    """An online store that is not known to keep its promises."""

    def __init__(self, *, url: str, why: str, where: str) -> None:
        super().__init__(
            f"online store {url!r} in {where} is refused: {why}. Nothing was read or written. "
            "Give redis://host:port/db, nothing for the embedded one, or pass tests/ports/test_online_store.py with another first."
        )


class UnknownName(FeatureStoreError):
    """A view or service that the registry does not have."""

    def __init__(self, *, kind: str, name: str, known: Iterable[str]) -> None:
        listed = ", ".join(sorted(known)) or "nothing"
        super().__init__(
            f"{kind} {name} is not in the feature registry, which has {listed}. Nothing was read or written. "
            "Materialize feature/<project>/registry, or mend the name."
        )


class NoFeatureTable(FeatureStoreError):
    """A registered view whose lake table was never written."""

    def __init__(self, *, address: str, uri: str, version: int | None) -> None:
        at = "" if version is None else f" at version {version}"
        super().__init__(f"{address} has no lake table{at} at {uri}, so its features cannot be read. Materialize {address} first.")


class MovedTable(FeatureStoreError):
    """A registered view whose table lies elsewhere than in the lake of this home."""

    def __init__(self, *, view: str, registered: str, here: str, project: str) -> None:
        super().__init__(
            f"the feature registry says that {view} reads {registered}, and the lake of this home has its table at {here}: a home that was "
            f"copied or moved would go on reading the old one. Nothing was read or written. Materialize feature/{project}/registry: "
            "it registers where the tables are now."
        )


class UnfitTable(FeatureStoreError):
    """A lake table without the columns that its view declares."""

    def __init__(self, *, address: str, missing: Iterable[str], has: Iterable[str]) -> None:
        super().__init__(
            f"{address} lacks the columns {', '.join(missing)} of its view; it has {', '.join(has)}. "
            f"No features were read. Materialize {address} again with the code that declares them."
        )


class UnfitExamples(FeatureStoreError):
    """Examples that cannot be joined with features."""

    def __init__(self, *, what: str, why: str) -> None:
        super().__init__(
            f"the examples do not fit {what}: {why}. No features were read. Give every key as the views have it, and instants in UTC."
        )


class UnfitRows(FeatureStoreError):
    """Rows that cannot be added to the files of a view."""

    def __init__(self, *, view: str, given: Iterable[str], has: Iterable[str]) -> None:
        super().__init__(
            f"rows for {view} have the columns {', '.join(given)}, its files have {', '.join(has)}. Nothing was written. "
            "Give exactly these columns, in this order."
        )


class UnfitPush(FeatureStoreError):
    """Fresh rows that are not of the view that they are pushed into."""

    def __init__(self, *, view: str, why: str) -> None:
        super().__init__(
            f"rows pushed into {view} do not fit it: {why}. Nothing was written. Push keys, features and instants as it declares."
        )


class RowsChanged(FeatureStoreError):
    """Retrieval gave back other rows than it was given."""

    def __init__(self, *, service: str, rows: int, back: int) -> None:
        super().__init__(
            f"feature service {service} was asked for {rows:,} examples and gave {back:,} rows, or in another order. "
            "Nothing of it was used. The offline store is broken: run tests/ports/test_offline_store.py."
        )


class NotThroughFeast(FeatureStoreError):
    """A Feast operation that this platform does elsewhere."""

    def __init__(self, *, what: str, instead: str) -> None:
        super().__init__(f"{what} is not done through Feast here, and nothing was done. {instead}")


class UnpackableType(FeatureStoreError):
    """A feature type that an online row cannot hold."""

    def __init__(self, *, view: str, features: Mapping[str, str]) -> None:
        listed = ", ".join(f"{name} ({dtype})" for name, dtype in features.items())
        super().__init__(f"{view} cannot be kept online: {listed}. Nothing was written. Use string, int64, float64 or bool.")


class NaiveInstant(FeatureStoreError):
    """A date and time that names no instant."""

    def __init__(self, *, what: str, value: datetime) -> None:
        super().__init__(f"{what}={value} has no time zone, so it names no instant. Nothing was done. Give an aware datetime.")
