"""Grants operators the view of mails, which shows their states without content. Users are for superusers."""

from __future__ import annotations

from core import roles

SEE_MAILS = frozenset({"accounts.view_mail"})


def register() -> None:
    for role in ("viewer", "responder", "finance", "approver"):
        roles.grant(role, SEE_MAILS, "sees whether mails were sent")
