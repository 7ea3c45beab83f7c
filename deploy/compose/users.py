"""Makes users of an MLflow server, each with a role and a new password; needs nothing but Python.

`python users.py http://localhost:5000 platform trainer:ada reader:bob`, as ``MLFLOW_TRACKING_USERNAME`` with ``MLFLOW_TRACKING_PASSWORD``.
Prints `user password`, a line each, once.
"""  # noqa: INP001  # a script that is copied to where the server is, no module

import base64
import json
import os
import secrets
import sys
import urllib.request
from typing import Any, Final

ROLES: Final = {
    "platform": {"experiment": "MANAGE", "run": "MANAGE", "registered_model": "MANAGE", "registered_model_version": "MANAGE"},
    "trainer": {"experiment": "EDIT", "run": "EDIT", "registered_model": "READ", "registered_model_version": "EDIT"},
    "reader": {"experiment": "READ", "run": "READ", "registered_model": "READ", "registered_model_version": "READ"},
}
"""The platform follows its ledger, trainers log and describe, readers look. Who may promote is for the ledger to say, not for MLflow."""


def ask(server: str, what: str, said: dict[str, object] | None = None) -> Any:
    """One question to the server, as the administrator."""
    who = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
    head = {"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}", "Content-Type": "application/json"}
    body = None if said is None else json.dumps(said).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{server}/api/{what}", body, head), timeout=60) as answer:  # noqa: S310  # a URL that was typed
        return json.loads(answer.read() or b"{}")


def roles(server: str) -> dict[str, int]:
    """Id of each role; those that are missing are made."""
    known = {role["name"]: role["id"] for role in ask(server, "3.0/mlflow/roles/list?workspace=default")["roles"]}
    for name in ROLES.keys() - known.keys():
        known[name] = ask(server, "3.0/mlflow/roles/create", {"workspace": "default", "name": name})["role"]["id"]
        for kind, permission in ROLES[name].items():
            right = {"role_id": known[name], "resource_type": kind, "resource_pattern": "*", "permission": permission}
            ask(server, "3.0/mlflow/roles/permissions/add", right)
    return known


def main(server: str, *wanted: str) -> None:
    """Make the users."""
    known = roles(server)
    for one in wanted:
        role, _, name = one.partition(":")
        user, password = name or role, secrets.token_urlsafe(18)
        ask(server, "2.0/mlflow/users/create", {"username": user, "password": password})
        ask(server, "3.0/mlflow/roles/assign", {"username": user, "role_id": known[role]})
        sys.stdout.write(f"{user} {password}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
