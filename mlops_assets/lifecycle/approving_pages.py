"""How the page of pending approvals looks: on one screen a version's standing, comparison, gate, card and lineage. Decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

from mlops_assets.lifecycle.reporting import difference
from mlops_assets.lifecycle.tracing_pages import facts
from resources import page
from resources.registry.approvals import MAKERS, expiry
from resources.registry.card import REQUIRED, Metric, card, cost, missing, sections
from resources.registry.comparison import changes
from resources.registry.lineage import Made, steps
from resources.registry.pending import Pending
from resources.registry.states import Entry, since, versions

NAME: Final = "approvals"
OPERATE: Final = "python -m mlops_assets.operate"
KINDS: Final = {"better": "good", "worse": "bad", "passed": "good", "failed": "bad"}
COLOURS: Final = {"better": "seagreen", "worse": "crimson"}
NOT_RECORDED: Final = "Not recorded when it was registered."


@dataclass(frozen=True, kw_only=True)
class Review:
    """All that a reviewer sees of a version: its record and that of what it would replace, the pages about it by title.

    ``refused`` says why its record is not shown.
    """

    pending: Pending
    record: Mapping[str, Any]
    before: Mapping[str, Any] | None
    pages: Mapping[str, str]
    refused: str = ""

    @property
    def registered(self) -> Entry:
        """The entry that knows the version."""
        return self.pending.registered

    @property
    def title(self) -> str:
        """Model and number."""
        return f"{self.registered.subject} version {self.registered.version}"

    @property
    def name(self) -> str:
        """Where on the page it is."""
        return f"{self.registered.subject}-{self.registered.version}"

    @property
    def gate(self) -> Sequence[Mapping[str, Any]]:
        """Name, verdict and sentence of each condition."""
        return self.registered.payload.get("gate") or ()

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What was measured on its held-out days."""
        found: Mapping[str, Any] = self.registered.payload.get("metrics") or {}
        return {name: Metric(name=name, value=value, low=low, high=high) for name, (value, low, high) in found.items() if value is not None}

    @property
    def against(self) -> Mapping[str, Any]:
        """What it was compared with; empty if with nothing."""
        return self.registered.payload.get("against") or {}

    @property
    def apart(self) -> Mapping[str, Sequence[Any]]:
        """Difference, low, high and verdict by metric."""
        return self.against.get("differences", {})


def pages_about(one: Pending) -> Iterator[tuple[str, str]]:
    """Pages that others leave about a version in the folder of reports: title and place."""
    model, cutoff = one.registered.subject, one.registered.payload.get("cutoff")
    yield "report of its training", f"{model}/trained/{cutoff}.html"
    if one.live is not None:
        between = f"{one.live.version}-{one.registered.version}"
        yield f"versions {between.replace('-', ' and ')} side by side", f"{model}/compared/{between}.html"


def approvals_page(reviews: Sequence[Review], *, at: datetime, frozen: Entry | None, entries: int) -> str:
    """The whole page: first what waits in a line each, then each version."""
    count = len(reviews)
    waits = f"{count} version{' waits' if count == 1 else 's wait'}" if count else "No version waits"
    made = f"Made {at:%Y-%m-%d %H:%M} UTC from {entries} entries of the ledger; {OPERATE} approvals makes it anew."
    stopped = f"The platform is frozen {since(frozen)}. Approvals count; nothing goes live before somebody unfreezes it." if frozen else ""
    return page.page(
        f"{waits} for approval",
        page.paragraph(made, kind="open"),
        page.paragraph(stopped, kind="bad") if stopped else "",
        page.raw_table(("version", "level", "people", "gate", "against live", "waits since"), [_line(one) for one in reviews])
        if count
        else page.paragraph("Nothing is to be decided. Models of level public and internal never wait: there the gate decides alone."),
        *(_version(one) for one in reviews),
        width=95,
    )


def _line(one: Review) -> str:
    """A version in the list on top."""
    asked, verdicts = one.pending.approvals, {name: said[-1] for name, said in one.apart.items()}
    failed = any(not found["passed"] for found in one.gate)
    told = [f"{name} {verdict}" for name, verdict in verdicts.items() if verdict in KINDS]
    kind = "bad" if "worse" in verdicts.values() else "good" if "better" in verdicts.values() else "open"
    cells = [
        f"<td class=short>{page.link(one.title, f'#{one.name}')}</td>",
        page.cell(asked.level),
        page.cell(f"{len(one.pending.valid)} of {asked.needed}"),
        page.cell("overridden", kind="bad") if failed else page.cell("passed" if one.gate else "-"),
        page.cell(", ".join(told) or ("no difference shown" if verdicts else "not compared"), kind=kind),
        page.cell(f"{one.registered.at:%Y-%m-%d %H:%M}"),
    ]
    return "".join(cells)


def _version(one: Review) -> str:
    if one.refused:
        return page.section(one.name, page.heading(one.title), page.paragraph(one.refused, kind="bad"))
    return page.section(
        one.name,
        page.heading(f"{one.title}, {one.pending.approvals.level}"),
        page.beside("".join(_standing(one)), _acts(one)),
        page.beside(
            "".join([*_comparison(one), page.heading("Gate", level=3), _gate(one)]),
            "".join([*_changed(one), *_card(one), page.heading("Where it comes from", level=3), _lineage(one)]),
        ),
        f"<p>{' · '.join([page.link('All that waits', '#'), *(page.link(title, place) for title, place in one.pages.items())])}</p>",
    )


def _standing(one: Review) -> Iterator[str]:
    """Who has agreed, who may not alone, what else stands in the way, and how one agrees."""
    entry, waits = one.registered, one.pending
    yield page.paragraph(f"{waits.lacking[:1].upper()}{waits.lacking[1:]}.")
    if waits.valid:
        lines = [(who, f"{expiry(said):%Y-%m-%d %H:%M} UTC", str(said.payload.get("why") or "-")) for who, said in waits.valid.items()]
        yield page.table(("has agreed", "until", "because"), lines)
    makers = ", ".join(dict.fromkeys(entry.payload[name] for name in MAKERS if entry.payload.get(name)))
    code = f", its code committed by {makers}" if makers else ""
    yield page.paragraph(f"Trained by {entry.actor}{code}: it takes somebody else.", kind="open")
    if waits.held is not None:
        yield page.paragraph(f"{entry.subject} is held {since(waits.held)}. It goes live only after somebody lifts that.", kind="bad")
    if waits.newer is not None:
        yield page.paragraph(f"Version {waits.newer.version} is newer and waits too.", kind="bad")


def _acts(one: Review) -> str:
    """What is typed to agree, to turn it down, and to make it live."""
    about = f"{one.registered.subject} {one.registered.version}"
    return page.commands(
        f"{OPERATE} approve {about} --token my.token --why 'what you looked at'",
        f"{OPERATE} archive {about} --why 'why it must not go live'",
        f"{OPERATE} promote {about}    # once enough people agree",
    )


def _comparison(one: Review) -> Iterator[str]:
    against, live, apart = one.against, one.pending.live, one.apart
    number = versions(one.pending.entries).get(against["content_hash"]) if against else None
    yield page.heading(f"Against version {number}" if number else "Metrics", level=3)
    if against and (live is None or live.content_hash != against["content_hash"]):
        now = f"version {live.version} is: compare it anew (job compare)" if live else "nothing is"
        yield page.paragraph(f"Version {number} is live no more; {now}.", kind="bad")
    if not against:
        yield page.paragraph("Compared with nothing: no live version had its code and features, or its gate does not ask.", kind="open")
    head = ("metric", "this version", *(("difference", "better\u00a0→", "") if apart else ()))
    lines = [_metric(name, one.metrics.get(name), apart.get(name), compared=bool(apart)) for name in {**one.metrics, **apart}]
    yield page.raw_table(head, lines or [f"<td colspan=2>{NOT_RECORDED}</td>"])
    if against:
        yield page.paragraph(f"Paired by day on {against['rows']:,} examples that neither was trained on.", kind="open")


def _metric(name: str, measured: Metric | None, apart: Sequence[Any] | None, *, compared: bool) -> str:
    from resources.monitors.metrics import BETTER
    from resources.monitors.plots import interval_svg

    shown = page.cell(name) + page.cell("-" if measured is None else str(measured))
    if apart is None:
        return f"{shown}<td colspan=3></td>" if compared else shown
    *ends, verdict = apart
    drawn = ""
    if all(end is not None for end in ends):
        value, low, high = ends if BETTER[name] == "higher" else (-ends[0], -ends[2], -ends[1])
        drawn = interval_svg(value, low, high, colour=COLOURS.get(verdict, "gray"))
    told = page.cell(verdict if verdict in KINDS else "unclear", kind=KINDS.get(verdict, "open"))
    return f"{shown}<td class=short>{difference(*ends)}</td><td>{drawn}</td>{told}"


def _gate(one: Review) -> str:
    word: str = one.registered.payload.get("gate_overridden", "")
    loud = page.paragraph(word, kind="bad") if word else ""
    found = [("passed" if said["passed"] else "failed", said["sentence"]) for said in one.gate]
    lines = [page.cell(verdict, kind=KINDS[verdict]) + f"<td>{escape(sentence)}</td>" for verdict, sentence in found]
    return loud + page.raw_table((), lines or [f"<td colspan=2>{NOT_RECORDED}</td>"])


def _changed(one: Review) -> Iterator[str]:
    live = one.pending.live
    yield page.heading(f"What changed since version {live.version}, which is live" if live else "What changed", level=3)
    if one.before is None:
        yield page.paragraph("Nothing is live: this would be the first version that answers.", kind="open")
        return
    yield page.table(("what", "how"), changes(one.before, one.record), empty="Nothing that decides a model.")


def _card(one: Review) -> Iterator[str]:
    text = str(one.record["provenance"]["card"])
    said = sections(text)
    yield page.heading("Card", level=3)
    if lacking := missing(text):
        yield page.paragraph(f"Not said: {', '.join(lacking)}.", kind="bad")
    yield "".join(page.markdown(f"**{title}.**\n{said[title]}") for title in REQUIRED if said.get(title))
    yield page.folded("the whole card", page.markdown(card(title=one.title, record=one.record, metrics=[*one.metrics.values()], gate=[])))


def _lineage(one: Review) -> str:
    """The steps behind the version: what a reviewer asks first, and all of them on demand."""
    entries = [entry for entry in one.pending.entries if entry.content_hash == one.registered.content_hash]
    made = Made(entries=tuple(entries), record=one.record)
    read = ", ".join(sorted(made.tables))
    dirty = "Its checkout had uncommitted edits: who made them is not recorded." if made.git.get("dirty") else ""
    told = [(step, ", ".join(filter(None, [where, facts(about)]))) for step, where, about in steps(made) if step != "release"]
    first = {"run", "examples"}
    return "".join(
        [
            page.table((), [line for line in told if line[0] in first] + [("read", read), ("cost", cost(one.record))]),
            page.paragraph(dirty, kind="bad") if dirty else "",
            page.folded("every step", page.table((), [*(line for line in told if line[0] not in first), ("sha256", made.content_hash)])),
        ]
    )
