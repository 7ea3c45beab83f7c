"""A release says everything of itself or is not registered."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from resources.registry.record import RecordIncomplete, complete
from tests.resources.registry.records import WHOLE

FIELDS = [(part, name) for part, said in WHOLE.items() for name in said]


def changed(part: str, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The whole record but for one change."""
    record = deepcopy(WHOLE)
    change(record[part])
    return record


def test_a_whole_record_is_read_as_it_is() -> None:
    assert complete("late", WHOLE).model_dump() == WHOLE


@pytest.mark.parametrize(("part", "name"), FIELDS)
def test_a_record_that_lacks_a_field_is_refused_by_the_name_of_the_field(part: str, name: str) -> None:
    with pytest.raises(RecordIncomplete, match=f"{part}.{name}: Field required") as refused:
        complete("late", changed(part, lambda said: said.pop(name)))
    assert "Materialize model/late/parts" in str(refused.value)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("identity", {"cutoff": "January"}),
        ("identity", {"tables": {}}),
        ("identity", {"seed": "7"}),
        ("provenance", {"format": 2}),
        ("provenance", {"owner": ""}),
        ("provenance", {"level": "secret"}),
        ("provenance", {"colour": "blue"}),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(part: str, said: dict[str, Any]) -> None:
    with pytest.raises(RecordIncomplete, match=f"{part}.{next(iter(said))}: "):
        complete("late", changed(part, lambda whole: whole.update(said)))
