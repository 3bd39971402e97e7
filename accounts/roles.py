"""What operators may see of accounts: what became of mails, never what they say. Superusers see people."""

from __future__ import annotations

from core import roles

SEE_MAILS = frozenset({"accounts.view_mail"})


def register() -> None:
    for role in ("viewer", "responder", "finance", "approver"):
        roles.grant(role, SEE_MAILS, "sees whether mails were sent")
