"""A desk with versions that wait for people: what stands in the ledger and in the releases is as the lifecycle writes it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from resources.registry import acts
from resources.registry.acts import By, Signed
from resources.registry.resource import Registry
from resources.registry.states import Entry
from resources.security import tokens
from tests.resources.registry.records import whole

APRIL: Final = datetime(2013, 4, 1, 4, tzinfo=UTC)
CARD: Final = """# flight_delay

**What it says.** The probability that a departure arrives 15 minutes late or more, two hours before it leaves.

**Intended use.** Telling passengers early that a flight is likely to be late.

**Features.** 49, of eight entities.

**Know before use.**
- The aircraft is taken as known two hours ahead; the archive holds the one that flew.
- One year, three airports, sixteen carriers. It knows no second winter.
- Nobody's work should be judged by it: carrier and flight number stand for schedules, not for people.
"""
GATE: Final = [
    {"name": "auc floor", "passed": True, "sentence": "auc 0.7511 reaches its floor 0.6."},
    {"name": "ece ceiling", "passed": True, "sentence": "ece 0.06261 keeps to its ceiling 0.12."},
    {"name": "against live", "passed": True, "sentence": "auc +0.0031 [+0.0008, +0.0055] against the live version on 6,102 examples of 7"
     " days that neither was trained on: the candidate is not worse."},
    {"name": "against live by origin", "passed": True, "sentence": "The candidate is worse in 0 of 3 slices of origin; worst LGA: auc"
     " +0.0012 [-0.0021, +0.0044] against the live version."},
    {"name": "auc alike by origin", "passed": True, "sentence": "auc of origin is 0.7233 for LGA and 0.7711 for EWR: apart by 0.0478"
     " [+0.0211, +0.0702], within 0.2."},
    {"name": "licence", "passed": True, "sentence": "Licence Apache-2.0 is allowed."},
    {"name": "card", "passed": True, "sentence": "The model's card is complete."},
]  # fmt: skip
METRICS: Final = {
    "auc": [0.7511, 0.7302, 0.7698], "log_loss": [0.4512, 0.4301, 0.4733], "brier": [0.1423, 0.1331, 0.1519],
    "ece": [0.06261, 0.0412, 0.0801], "base_rate": [0.2114, 0.1703, 0.2502],
}  # fmt: skip
APART: Final[dict[str, list[Any]]] = {
    "auc": [0.0031, 0.0008, 0.0055, "better"], "log_loss": [-0.0011, -0.0029, 0.0007, "no difference shown"],
    "brier": [-0.0004, -0.0009, 0.0002, "no difference shown"], "ece": [0.0121, 0.0032, 0.0212, "worse"],
}  # fmt: skip
VIEWS: Final = ("airport_lately", "airport_traffic", "carrier_delays", "route_delays", "weather_observed")


class Desk:
    """A registry in a folder, people with tokens, and models whose versions are registered by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry(
            ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"), keys_root=str(folder / "keys")
        )
        self.desk = self.registry.desk()
        self.ledger = self.desk.ledger

    def register(
        self, weight: float, *, model: str = "flight_delay", level: str = "confidential", cutoff: str = "2013-04", **facts: object
    ) -> Entry:
        """A version as release/<model>/candidate registers one, compared with what is live now."""
        months = {f"2013-{month:02d}": f"{month:064x}" for month in range(1, int(cutoff[-2:]) + 1)}
        addresses = [f"feature/{view.replace('_', '/', 1)}" for view in VIEWS]
        tables = dict.fromkeys(("table/flights/departures", *addresses), months)
        identity = {
            "model": model, "cutoff": cutoff, "trained_until": f"{cutoff}-24", "params": {"num_leaves": 31, "trees": 70}, "tables": tables,
            "views": dict.fromkeys(VIEWS, "5" * 64), "code": {"fit": "1" * 64, "score": "2" * 64}, "lock": "7" * 64,
        }  # fmt: skip
        record = whole(
            identity, level=level, card=CARD, owner="team:flights", mlflow_run_id="3b1e" * 8, tables=dict.fromkeys(tables, 12),
            git={"commit": "9c0ffee" * 5 + "abcde", "dirty": False, "author": "tom@acme.org", "committer": "mia@acme.org"},
            training_set={"address": f"training_set/{model}/examples", "rows": 102_118, "since": "2013-01"},
        )  # fmt: skip
        name = self.registry.releases().write(model, {"weight": weight}, record, {"entry": "acme:predict"})
        live = self.ledger.live(model)
        against = {"content_hash": live.content_hash, "rows": 6102, "differences": APART} if live else None
        said: Mapping[str, object] = {"cutoff": cutoff, "level": level, "gate": GATE, "metrics": METRICS, "against": against, **facts}
        return self.registry.register(model, name, mlflow_run_id="3b1e" * 8, actor="dagster", data_at=APRIL, facts=said)

    def signed(self, person: str) -> Signed:
        return Signed(token=tokens.issue(self.desk.people, person=person, valid=timedelta(days=1)))

    def approve(self, person: str, version: int, *, model: str = "flight_delay", days: float = 14) -> Entry:
        by = By(actor="", data_at=APRIL, why="compared, read the card")
        return acts.approve(self.desk, model, version, by, self.signed(person), valid=timedelta(days=days))

    def promote(self, version: int, *, model: str = "flight_delay") -> Entry:
        return acts.promote(self.desk, model, version, By(actor="ana", data_at=APRIL))

    def live(self, *, model: str = "flight_delay", level: str = "confidential") -> Entry:
        """Version 1, approved and live."""
        self.register(1.0, model=model, level=level, cutoff="2013-03")
        for person in ("bo", "kim"):
            self.approve(person, 1, model=model)
        return self.promote(1, model=model)
