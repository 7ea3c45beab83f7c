"""A live version whose code is not here is named; with it nothing that answers is touched."""

from datetime import UTC, datetime
from typing import Any

from mlops_assets.lifecycle.deployment import CodeEdited, edited, route, served
from mlops_assets.specs import Catalogue
from resources.registry.releases import Release
from resources.registry.resource import Registry
from resources.registry.states import Entry
from tests.mlops_assets.lifecycle.orders import LATE, LATELY, ORDERS, PACKAGE, REGISTER, SEATS, WAIT

NOW = datetime(2020, 2, 1, tzinfo=UTC)


class Shelf(Registry):
    """A registry whose releases were made with the code hashes that they are named after."""

    def load(self, entry: Entry) -> Release:
        name = str(entry.content_hash)
        return Release(model=entry.subject, content_hash=name, parts={}, record={}, signature={"code_hash": name})


def promoted(model: str, code: str) -> Entry:
    payload: dict[str, Any] = {"content_hash": code, "version": 3}
    return Entry(
        seq=1, subject=model, kind="promoted", payload=payload, at=NOW, data_at=NOW, activate_at=NOW, actor="a", prev=None, hash="h"
    )  # fmt: skip


def test_a_route_is_a_model_s_entry_point_and_the_code_behind_it() -> None:
    found = route(LATE, package=PACKAGE)
    assert (found.model, found.entry, found.package) == ("late", f"{PACKAGE}.orders:predict", PACKAGE)
    assert len(found.code_hash) == 64


def test_only_the_live_versions_with_other_code_than_here_are_edited() -> None:
    routes = {spec.name: route(spec, package=PACKAGE) for spec in (LATE, WAIT)}
    here, elsewhere = promoted("late", routes["late"].code_hash), promoted("wait", "0" * 64)
    found = edited([here, elsewhere], routes, Shelf(ledger_url="sqlite://", releases_root="none"))
    assert found == [(elsewhere, "0" * 64, routes["wait"])]


def test_the_error_names_model_version_both_codes_and_the_way_out() -> None:
    where = route(WAIT, package=PACKAGE)
    said = str(CodeEdited([(promoted("wait", "0" * 64), "0" * 64, where)]))
    assert f"wait: version 3 was released with code 000000000000, {where.entry} is now {where.code_hash[:12]}." in said
    assert "No new service replaces the one that answers" in said
    assert said.endswith(
        "Train and release wait with the code as it is now, or bring that code back, and materialize the deployment again."
    )


def test_a_model_without_a_request_is_not_served() -> None:
    from dataclasses import replace

    models = (LATE, replace(WAIT, serving=None))
    catalogue = Catalogue(project="lifecycle", sources=(ORDERS, REGISTER), views=(LATELY, SEATS), models=models)
    assert served(catalogue) == [LATE]
