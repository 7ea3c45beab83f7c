"""Where the registry of an environment is: what a setting names, else its place in the home. Profiles and quick commands ask here alike."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from resources import clock_file
from resources.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RegistryPlaces:
    """What the registry is opened with."""

    ledger_url: str
    releases_root: str
    keys_root: str

    def said(self) -> dict[str, str]:
        """As keyword arguments."""
        return asdict(self)


def registry_places(settings: Settings) -> RegistryPlaces:
    """The ledger, the releases and the key rings."""
    home = settings.home
    return RegistryPlaces(
        ledger_url=settings.ledger_url or f"sqlite:///{home / 'ledger.db'}",
        releases_root=settings.releases_uri or str(home / "releases"),
        keys_root=str(settings.keys or home / "keys"),
    )


def data_now(settings: Settings) -> datetime:
    """Now by the clock of the environment: the data's in the embedded one, the wall's in production."""
    return clock_file.instant_in(settings.home / clock_file.NAME) if settings.environment == "embedded" else datetime.now(UTC)
