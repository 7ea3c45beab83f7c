"""The ledger as a file that anybody can check: a JSON line an entry, as it is hashed, and the signed head as the last line.

How to read it, and a script that verifies it with the standard library alone, is in docs/reference/ledger.md.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from resources.registry.heads import HeadUnsigned
from resources.registry.ledger import stamp
from resources.registry.states import Entry
from resources.whole import write_whole

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

HEAD: Final = "head"


def export(ledger: "Ledger", file: Path) -> int:
    """Write the verified ledger to a file; the number of entries. The file is there whole or not at all."""
    count, head = ledger.verify(), ledger.signed_head()
    if head is None:
        raise HeadUnsigned(count=count)
    entries = [entry for entry in ledger.entries() if entry.seq <= int(head["seq"])]  # others may have been written since
    lines = [json.dumps(line, sort_keys=True, ensure_ascii=False) for line in (*map(_line, entries), {HEAD: head})]
    write_whole(file, "\n".join(lines) + "\n")
    return len(entries)


def _line(entry: Entry) -> dict[str, Any]:
    """An entry with its instants as the text that the hash covers."""
    instants = {name: at and stamp(at) for name in ("at", "data_at", "activate_at") for at in [getattr(entry, name)]}
    return {**vars(entry), **instants}
