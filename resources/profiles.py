"""The outside world as one typed record, and the two ways to fill it. The only place where environments differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resources.clock import Clock, DataClock, WallClock
from resources.feature_store.store import FeatureStore
from resources.inbox import Inbox
from resources.lake import DeltaLake, Lake, LocalLake
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.serving.controller import LocalServing, Serving
from resources.serving.lock import serving_lock
from resources.settings import Environment, Settings
from resources.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything outside of the graph, by the name under which assets and sensors ask for it."""

    clock: Clock
    inbox: Inbox
    lake: Lake
    feature_store: FeatureStore
    tracking: Tracking
    registry: Registry
    serving: Serving
    reports: Reports


def embedded(settings: Settings, project: str) -> Resources:
    """One folder, no server, no secret, no network. The clock is the data's: it moves when a month is ingested."""
    home = settings.home
    lake = LocalLake(root=str(home / "lake"))
    ledger_url, releases = f"sqlite:///{home / 'ledger.db'}", str(home / "releases")
    return Resources(
        clock=DataClock(path=str(home / "clock.json")),
        inbox=Inbox(root=str(home / "inbox")),
        lake=lake,
        feature_store=FeatureStore(home=str(home / "features"), lake=lake, project=project),
        tracking=Tracking(uri=f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", artifacts=str(home / "mlflow" / "artifacts")),
        registry=Registry(ledger_url=ledger_url, releases_root=releases),
        serving=_serving(home, ledger_url, releases, settings),
        reports=Reports(root=str(home / "reports")),
    )


def production(settings: Settings, project: str) -> Resources:
    """Servers where settings name them, the embedded adapter where they do not; the clock is the wall's. Loads with no secret set."""
    home = settings.home
    base = embedded(settings, project)
    lake = DeltaLake(root=settings.lake_uri) if settings.lake_uri else base.lake
    ledger_url = settings.ledger_url or f"sqlite:///{home / 'ledger.db'}"
    releases = str(home / "releases")
    return Resources(
        clock=WallClock(),
        inbox=base.inbox,
        lake=lake,
        feature_store=FeatureStore(home=str(home / "features"), lake=lake, project=project),
        tracking=Tracking(uri=settings.tracking_uri, artifacts=settings.artifacts_uri) if settings.tracking_uri else base.tracking,
        registry=Registry(ledger_url=ledger_url, releases_root=releases),
        serving=_serving(home, ledger_url, releases, settings),
        reports=base.reports,
    )


PROFILES: Final[Mapping[Environment, Callable[[Settings, str], Resources]]] = {"embedded": embedded, "production": production}


def select(settings: Settings, *, project: str) -> Resources:
    """The profile that the environment names."""
    return PROFILES[settings.environment](settings, project)


def _serving(home: Path, ledger_url: str, releases: str, settings: Settings) -> Serving:
    lock = serving_lock()
    return LocalServing(
        home=str(home / "serving"), ledger_url=ledger_url, releases_root=releases, lock=str(lock) if lock else None, keep=settings.service
    )
