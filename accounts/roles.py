"""What operators may do. Each role is a group with exactly these permissions, put right by `migrate`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission

APP = "observability"
SEE = frozenset(
    f"view_{model}"
    for model in ("episode", "episodeevent", "delivery", "attempt", "receipt", "channel", "heartbeat")
)
ACT = frozenset({"acknowledge_episode", "note_episode", "resend_delivery", "reprocess_receipt"})
ROLES: dict[str, frozenset[str]] = {"viewer": SEE, "responder": SEE | ACT}


def ensure_roles(**_: Any) -> None:
    """Makes the groups and their permissions what ROLES says. A signal handler for `post_migrate`."""
    known = {
        permission.codename: permission
        for permission in Permission.objects.filter(content_type__app_label=APP)
    }
    if not ROLES["responder"] <= known.keys():
        return  # migrating backwards: the tables are on their way out
    for name, codenames in ROLES.items():
        group, _created = Group.objects.get_or_create(name=name)
        group.permissions.set([known[codename] for codename in sorted(codenames)])
