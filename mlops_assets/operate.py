"""``python -m mlops_assets.operate``: status and acts at once, for a person at three in the morning. Loads no Dagster."""

import argparse
import getpass
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, get_args

from mlops_assets.verbs import FIELDS, VERBS, Verb, done, signed
from resources.errors import PlatformError
from resources.places import data_now, registry_places
from resources.registry import acts
from resources.security.keys import KeyRing, Purpose
from resources.settings import Settings

POSITIONAL = ("model", "version", "content_hash")
RINGS: Final = (
    ("keys", "The keys of a ring: since when, and whether they sign, verify or are revoked.", ()),
    ("rotate", "A new key signs from now on; the keys before it still verify.", ()),
    ("revoke-key", "Nothing that a key signed is believed any more.", ("key_id", "--why")),
)
"""Commands about a ring of keys: what they do, and what they ask beside it."""

KEEPING: Final = frozenset({"resign", *(name for name, _, _ in RINGS)})


class NoToken(PlatformError):
    """A token's file that cannot be read."""

    def __init__(self, path: str, why: OSError) -> None:
        super().__init__(
            f"{path} holds no token: {why.strerror or why}. Nothing was done. Have one issued: "
            "python -m mlops_assets.operate token <person> --days 30 > <file>, and name that file."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 1 with one clear sentence when it is refused."""
    said = vars(_parser().parse_args(arguments))
    settings = Settings.from_environment()
    try:
        verb = said.pop("verb")
        print((_keep if verb in KEEPING else _run)(verb, said, settings))
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(verb: str, said: Mapping[str, Any], settings: Settings) -> str:
    desk = acts.desk(**registry_places(settings).said())
    found = next((one for one in VERBS if one.command == verb), None)
    if found is not None:
        return _act(found, said, desk, settings)
    match verb:
        case "status" | "approvals":
            return _look(verb, desk, settings.home)
        case "verify":
            return f"{desk.ledger.verify()} entries hold, and the last one is the head that was signed."
        case "sign":
            return f"{desk.ledger.sign()} entries hold, and the head is signed."
        case "export":
            from resources.registry.export import export

            return f"{export(desk.ledger, Path(said['file']))} entries and the signed head are in {said['file']}."
        case _:
            from resources.security import tokens

            return tokens.issue(desk.people, person=said["person"], valid=timedelta(days=said["days"]))


def _look(verb: str, desk: acts.Desk, home: Path) -> str:
    """What stands and what is red, or what waits for people and the page about it."""
    if verb == "status":
        from resources.registry.status import status

        return str(status(desk.ledger, serving_home=home / "serving"))
    from mlops_assets.lifecycle.approving import NOTHING_WAITS, write_approvals

    path, lines = write_approvals(desk, home / "reports")
    return "\n".join([*(lines or [NOTHING_WAITS]), f"The page: {path}"])


def _keep(verb: str, said: Mapping[str, Any], settings: Settings) -> str:
    """Look at a ring, give it a new key, end one of its keys, or let the new key sign a version again."""
    places = registry_places(settings)
    if verb == "resign":
        key_id = acts.resign(acts.desk(**places.said()), said["model"], said["version"])
        return f"Key {key_id} signs the statement of {said['model']} version {said['version']}."
    ring = KeyRing(Path(places.keys_root) / said["ring"])
    if verb == "rotate":
        return f"Key {ring.rotate()} signs from now on; the keys before it still verify."
    if verb == "revoke-key":
        ring.revoke(said["key_id"], why=said["why"])
        return f"Nothing that key {said['key_id']} signed is believed any more. Sign again what you trust; with no other key, rotate first."
    found = ring.keys()
    return "\n".join(f"{key.key_id}  since {key.made.isoformat(timespec='seconds')}  {key.state}" for key in found) or "No key yet."


def _act(verb: Verb, said: Mapping[str, Any], desk: acts.Desk, settings: Settings) -> str:
    given = {**said}
    if "token" in given:
        given["token"] = signed(_text(given["token"]), shown=False)
    by = acts.By(actor=getpass.getuser(), data_at=data_now(settings), why=given.get("why") or given.get("remark") or "")
    return done(verb.act(desk, by, given))


def _text(path: str) -> str:
    """A token out of its file: on the command line it would stand in the shell's history."""
    try:
        return Path(path).read_text()
    except OSError as problem:
        raise NoToken(path, problem) from problem


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.operate", description="What is live, and acts on it: each one ledger entry."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        one = verbs.add_parser(verb.command, help=verb.does, description=verb.does)
        for name in verb.asks:
            _ask(one, name)
    for name, does in (
        ("status", "What is live where, what is red, since when, what to do."),
        ("approvals", "What waits for people to agree, with all that they need for it, on one page."),
        ("verify", "Check the ledger's chain and its signed head."),
        ("sign", "Sign the head of a ledger that holds and that no good key has signed."),
    ):
        verbs.add_parser(name, help=does, description=does)
    for name, does, asks in RINGS:
        one = verbs.add_parser(name, help=does, description=does)
        one.add_argument("ring", choices=get_args(Purpose), help="What its keys sign.")
        for argument in asks:
            one.add_argument(argument, required=True, help="Why: it stands beside the key.") if argument == "--why" else one.add_argument(
                argument
            )
    again = verbs.add_parser("resign", help="Sign a version's statement again with the current key, after its key was revoked.")
    for name in ("model", "version"):
        _ask(again, name)
    export = verbs.add_parser("export", help="Write the ledger as JSON lines that anybody can check.")
    export.add_argument("file", help="Where to.")
    token = verbs.add_parser("token", help="Issue a signed token that names a person.")
    token.add_argument("person", help="Whom it names: the e-mail address that they commit with, or its part before the @.")
    token.add_argument("--days", type=int, default=30, help="For how many days it is good.")
    return parser


def _ask(parser: argparse.ArgumentParser, name: str) -> None:
    field = FIELDS[name]
    if name in POSITIONAL:
        parser.add_argument(name, type=field.kind, help=field.help)
        return
    flag, more = ("--why" if name == "remark" else f"--{name}"), " Its file." if name == "token" else ""
    required = field.default is None
    parser.add_argument(flag, dest=name, type=field.kind, default=field.default, required=required, help=field.help + more)


if __name__ == "__main__":
    sys.exit(main())
