"""Two versions, and what differs between them first."""

from dataclasses import replace

from resources.registry.sameness import Kept, differences

KEPT = Kept(
    content_hash="a" * 64,
    identity={
        "tables": {"table/shop/orders": {"2020-01": "1" * 64}},
        "code": {"fit": "2" * 64},
        "lock": "3" * 64,
        "seed": 7,
        "params": {"trees": 10},
    },
    files={"booster.lgb.txt": "4" * 64, "record.json": "5" * 64, "signature.json": "6" * 64},
)


def test_the_same_version_has_no_difference_whenever_it_was_fitted() -> None:
    assert list(differences(KEPT, replace(KEPT, files={**KEPT.files, "record.json": "other"}))) == []


def test_data_is_named_before_the_code_and_the_code_before_the_parts_that_follow_from_it() -> None:
    identity = {**KEPT.identity, "tables": {"table/shop/orders": {"2020-01": "9" * 64}}, "code": {"fit": "8" * 64}}
    again = Kept(content_hash="b" * 64, identity=identity, files={**KEPT.files, "booster.lgb.txt": "c" * 64})
    assert list(differences(KEPT, again)) == [
        "tables table/shop/orders 2020-01: was 111111111111, is 999999999999",
        "code fit: was 222222222222, is 888888888888",
        "file booster.lgb.txt: was 444444444444, is cccccccccccc",
        "content hash: was aaaaaaaaaaaa, is bbbbbbbbbbbb",
    ]


def test_what_only_one_of_them_has_is_a_difference_too() -> None:
    again = replace(KEPT, identity={**KEPT.identity, "params": {"trees": 10, "leaves": 31}}, files={"record.json": "5"})
    assert list(differences(KEPT, again))[:2] == ["params leaves: was nothing, is 31", "file booster.lgb.txt: was 444444444444, is nothing"]


def test_a_field_of_the_identity_that_nobody_foresaw_is_compared() -> None:
    assert list(differences(KEPT, replace(KEPT, identity={**KEPT.identity, "country": "US"}))) == ["country: was nothing, is US"]
