"""What operators may do. Each role is a group with exactly these permissions, put right by `migrate`."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed_apps

# Alerts, and what became of mails (never what they say).
SEE = frozenset(
    f"observability.view_{model}"
    for model in ("episode", "episodeevent", "delivery", "attempt", "receipt", "channel", "heartbeat")
) | {"accounts.view_mail"}
ACT = frozenset(
    f"observability.{act}"
    for act in ("acknowledge_episode", "note_episode", "resend_delivery", "reprocess_receipt")
)

# People who prove who they are. Only a reviewer sees images of their documents.
SEE_CASES = frozenset(f"kyc.view_{model}" for model in ("case", "caseevent", "check"))
SEE_IMAGES = frozenset(f"kyc.view_{model}" for model in ("document", "documentaccess"))
SEE_LIMITS = frozenset(f"kyc.view_{model}" for model in ("limitrule", "limitusage"))
REVIEW = frozenset({"kyc.review_case"})
SEE_CALLBACKS = frozenset({"kyc.view_providerevent"})
APPROVE = frozenset({"kyc.revoke_case", "kyc.change_limits", "kyc.reprocess_providerevent"})

ROLES: dict[str, frozenset[str]] = {
    "viewer": SEE,
    "responder": SEE | ACT,
    "kyc reviewer": SEE_CASES | SEE_IMAGES | REVIEW,
    "finance": SEE | SEE_LIMITS,
    "approver": SEE | SEE_CASES | SEE_LIMITS | SEE_CALLBACKS | APPROVE,
}
IN_WORDS = (
    "A viewer sees alerts and whether mails were sent; a responder also acts on them. "
    "A KYC reviewer sees documents and decides on cases. Finance sees alerts and limits. "
    "An approver sees all of these but the images, revokes approvals and sets limits."
)


def ensure_roles(*, apps: Any = installed_apps, **_: Any) -> None:
    """Makes the groups and their permissions what ROLES says. A signal handler for `post_migrate`.

    Does nothing as long as a permission is missing: half-way through a migration, forwards or backwards.
    """
    try:
        group_model = apps.get_model("auth", "Group")
        permission_model = apps.get_model("auth", "Permission")
    except LookupError:
        return
    permissions = permission_model.objects.select_related("content_type")
    wanted = frozenset[str]().union(*ROLES.values())
    known = {
        name: permission
        for permission in permissions.filter(
            content_type__app_label__in={name.split(".")[0] for name in wanted}
        )
        if (name := f"{permission.content_type.app_label}.{permission.codename}") in wanted
    }
    if known.keys() != wanted:
        return
    for role, names in ROLES.items():
        group, _created = group_model.objects.get_or_create(name=role)
        group.permissions.set([known[name] for name in sorted(names)])
