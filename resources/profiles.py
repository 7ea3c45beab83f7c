"""The outside world as one typed record, and the two ways to fill it. The only place where environments differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from resources.clock import Clock, DataClock, WallClock
from resources.feature_store.store import FeatureStore
from resources.inbox import Inbox
from resources.lake import DeltaLake, Lake
from resources.places import registry_places
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.serving.controller import Serving
from resources.settings import Environment, Settings
from resources.tracking.resource import Tracking


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
    return _filled(settings, project, DataClock(path=str(settings.home / "clock.json")))


def production(settings: Settings, project: str) -> Resources:
    """Servers where settings name them; the clock is the wall's. Loads with no secret set: clients find theirs when a run starts."""
    return _filled(settings, project, WallClock())


PROFILES: Final[Mapping[Environment, Callable[[Settings, str], Resources]]] = {"embedded": embedded, "production": production}


def select(settings: Settings, *, project: str) -> Resources:
    """The profile that the environment names."""
    return PROFILES[settings.environment](settings, project)


def _filled(settings: Settings, project: str, clock: Clock) -> Resources:
    """What a setting names, else its place in the home."""
    home = settings.home
    _, mlflow_port, _, reports_port = settings.ui_ports
    remote = (settings.tracking_uri or "").startswith("http")
    lake = DeltaLake(root=settings.lake_uri or str(home / "lake"))
    registry = Registry(**registry_places(settings).said(), copies=str(home / "copies"))
    return Resources(
        clock=clock,
        inbox=Inbox(root=str(home / "inbox")),
        lake=lake,
        feature_store=FeatureStore(
            home=str(home / "features"),
            lake=lake,
            project=project,
            registry_url=settings.features_url or "",
            online_url=settings.online_url or "",
            storage_options=lake.options,
        ),
        tracking=Tracking(
            uri=settings.tracking_uri or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
            artifacts=settings.artifacts_uri or ("" if remote else str(home / "mlflow" / "artifacts")),
            ui=str(settings.tracking_uri) if remote else f"http://127.0.0.1:{mlflow_port}",
            spool=str(home / "mlflow" / "spool"),
        ),
        registry=registry,
        serving=Serving(
            home=str(home / "serving"),
            ledger_url=registry.ledger_url,
            releases_root=registry.releases_root,
            keys_root=registry.keys_root,
            keep=settings.service,
        ),
        reports=Reports(root=str(home / "reports"), ui=f"http://127.0.0.1:{reports_port}"),
    )
