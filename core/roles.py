"""The roles of operators: a role is a group with exactly the permissions that the apps registered for it.

Each app registers the permissions of its own models, in its AppConfig.ready(); `migrate` then makes the
groups agree. How an app uses it:

    def register() -> None:
        roles.grant("finance", {"escrow.view_payout"}, "sees payouts")
        roles.grant("approver", {"escrow.approve_payout"}, "approves payouts")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.apps import apps as installed_apps


class Grant(NamedTuple):
    role: str
    permissions: frozenset[str]
    description: str


_grants: dict[Grant, None] = {}  # a dict keeps their order, and registering twice changes nothing


def grant(role: str, permissions: Iterable[str], description: str) -> None:
    """Gives `role` these permissions. `description`: what they allow, for the page that assigns roles."""
    _grants[Grant(role, frozenset(permissions), description)] = None


def permissions_by_role() -> dict[str, frozenset[str]]:
    """Returns each role with all its permissions, as "app.codename"."""
    roles: dict[str, frozenset[str]] = {}
    for entry in _grants:
        roles[entry.role] = roles.get(entry.role, frozenset()) | entry.permissions
    return roles


def descriptions() -> str:
    """Returns what each role may do, for example `viewer: sees alerts; finance: sees alerts, sees limits.`"""
    roles = [
        f"{role}: {', '.join(entry.description for entry in _grants if entry.role == role)}"
        for role in permissions_by_role()
    ]
    return f"{'; '.join(roles)}."


def ensure_roles(*, apps: Any = installed_apps, **_: Any) -> None:
    """Makes the groups and their permissions what the apps registered. A handler for `post_migrate`.

    Does nothing while a permission is missing: half-way through a migration, forwards or backwards.
    """
    try:
        group_model = apps.get_model("auth", "Group")
        permission_model = apps.get_model("auth", "Permission")
    except LookupError:
        return
    roles = permissions_by_role()
    wanted = frozenset[str]().union(*roles.values())
    known = permissions_named(permission_model, wanted)
    if known.keys() != wanted:
        return
    for role, names in roles.items():
        group, _created = group_model.objects.get_or_create(name=role)
        group.permissions.set([known[name] for name in sorted(names)])


def permissions_named(permission_model: Any, names: frozenset[str]) -> dict[str, Any]:
    """Returns the rows of those permissions that exist, by "app.codename"."""
    app_labels = {name.split(".")[0] for name in names}
    rows = permission_model.objects.select_related("content_type")
    found = {
        f"{row.content_type.app_label}.{row.codename}": row
        for row in rows.filter(content_type__app_label__in=app_labels)
    }
    return {name: row for name, row in found.items() if name in names}
