"""Make the account of schedules and tests what it needs to be: it starts runs of two DAGs, and nobody's word is its.

Airflow's own role User may answer approvals, promote and roll back. Run with the user's name once it exists; running it
again changes nothing.
"""

import sys
from collections.abc import Iterable
from typing import Any

ROLE = "kubetune-trigger"
DAGS = ("finetune", "finetune_many")
RIGHTS = (
    *((action, f"DAG:{dag}") for dag in DAGS for action in ("can_read", "can_edit")),
    *(("can_read", what) for what in ("DAG Runs", "Task Instances", "Task Logs", "XComs", "Website")),
    ("can_create", "DAG Runs"),
)
"""A run is created by who may edit its DAG; nothing here edits runs, or what `HITL Detail` is to Airflow: approvals."""


def bound(manager: Any, name: str, rights: Iterable[tuple[str, str]] = RIGHTS) -> None:
    """Give a user the role alone, and the role these rights alone."""
    role = manager.find_role(ROLE) or manager.add_role(ROLE)
    wanted = [manager.create_permission(action, resource) for action, resource in rights]
    for right in [right for right in role.permissions if right not in wanted]:
        manager.remove_permission_from_role(role, right)
    for right in wanted:
        manager.add_permission_to_role(role, right)
    user = manager.find_user(username=name)
    if [item.name for item in user.roles] != [ROLE]:
        user.roles = [role]
        manager.update_user(user)
    print(f"user {name} has the role {ROLE}")  # noqa: T201 (a Job's log)


if __name__ == "__main__":
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        bound(builder.sm, sys.argv[1])
