import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from core.roles import descriptions, ensure_roles, permissions_by_role

pytestmark = pytest.mark.django_db

APPS = ("kyc", "observability")
TABLE = {
    "viewer": {
        "accounts.view_mail",
        "observability.view_attempt",
        "observability.view_channel",
        "observability.view_delivery",
        "observability.view_episode",
        "observability.view_alertrule",
        "observability.view_silence",
        "observability.view_silenceevent",
        "observability.view_silencewindow",
        "observability.view_rulesversion",
        "observability.view_suppression",
        "observability.view_episodeevent",
        "observability.view_heartbeat",
        "observability.view_receipt",
        "observability.view_route",
        "observability.view_routechange",
    },
    "kyc reviewer": {
        "kyc.review_case",
        "kyc.view_case",
        "kyc.view_caseevent",
        "kyc.view_check",
        "kyc.view_document",
        "kyc.view_documentaccess",
    },
}
TABLE["responder"] = TABLE["viewer"] | {
    "observability.acknowledge_episode",
    "observability.mark_episode",
    "observability.manage_silence",
    "observability.note_episode",
    "observability.reprocess_receipt",
    "observability.resend_delivery",
}
SEE_ESCROWS = {
    "escrow.view_escrow",
    "escrow.view_escrowagreement",
    "escrow.view_escrowevent",
    "escrow.view_escrowterms",
    "escrow.view_feerule",
    "escrow.view_invitation",
    "escrow.view_milestone",
    "escrow.view_milestoneevent",
}
SEE_LEDGER = {"escrow.view_ledgeraccount", "escrow.view_ledgerentry", "escrow.view_ledgertransfer"}
SEE_PAYMENTS = {
    "escrow.view_collection",
    "escrow.view_collectionevent",
    "escrow.view_contradiction",
    "escrow.view_paymentevent",
    "escrow.view_payout",
    "escrow.view_payoutevent",
    "escrow.view_providercall",
}
TABLE["finance"] = (
    TABLE["viewer"]
    | SEE_ESCROWS
    | SEE_LEDGER
    | SEE_PAYMENTS
    | {"escrow.view_moneystop", "kyc.view_limitrule", "kyc.view_limitusage"}
)
TABLE["approver"] = TABLE["finance"] | {
    "escrow.clear_moneystop",
    "escrow.close_contradiction",
    "escrow.freeze_escrow",
    "escrow.reprocess_paymentevent",
    "escrow.set_fees",
    "kyc.change_limits",
    "kyc.reprocess_providerevent",
    "kyc.revoke_case",
    "kyc.view_case",
    "kyc.view_caseevent",
    "kyc.view_check",
    "kyc.view_providerevent",
    "observability.edit_route",
    "observability.tune_alertrule",
}


def permissions_of(role: str) -> set[str]:
    rows = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{row.content_type.app_label}.{row.codename}" for row in rows}


def test_migrating_makes_the_five_roles_with_exactly_their_permissions() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(TABLE)
    assert {role: permissions_of(role) for role in TABLE} == TABLE


def test_changed_roles_are_restored() -> None:
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="resend_delivery"))
    viewer.permissions.remove(Permission.objects.get(codename="view_episode"))
    Group.objects.get(name="approver").delete()
    call_command("migrate", verbosity=0)
    assert permissions_of("viewer") == TABLE["viewer"]
    assert permissions_of("approver") == TABLE["approver"]


@pytest.mark.parametrize("codename", ["view_episode", "review_case"])
def test_roles_wait_until_the_permissions_of_both_apps_are_there(codename: str) -> None:
    Group.objects.all().delete()
    Permission.objects.filter(codename=codename).delete()
    ensure_roles()
    assert not Group.objects.exists()


def test_roles_are_left_alone_where_the_tables_of_groups_are_not_made_yet() -> None:
    class NothingYet:
        def get_model(self, *_: str) -> None:
            raise LookupError

    Group.objects.get(name="viewer").permissions.clear()
    ensure_roles(apps=NothingYet())
    assert permissions_of("viewer") == set()


def test_the_responder_may_do_everything_with_alerts_but_change_rules_and_routes_and_sees_mails() -> None:
    changes = {"observability.edit_route", "observability.tune_alertrule"}
    of_alerts = declared_by("observability")
    assert permissions_by_role()["responder"] == of_alerts - changes | {"accounts.view_mail"}
    assert [role for role, names in permissions_by_role().items() if names & changes] == ["approver"]


def test_every_permission_of_the_domain_belongs_to_some_role() -> None:
    given = frozenset[str]().union(*permissions_by_role().values())
    for app in ("escrow", "kyc"):
        assert declared_by(app) == {name for name in given if name.startswith(f"{app}.")}


def test_only_reviewers_see_images_and_no_reviewer_revokes_or_sets_limits() -> None:
    roles = permissions_by_role()
    assert [role for role, names in roles.items() if "kyc.view_document" in names] == ["kyc reviewer"]
    assert not roles["kyc reviewer"] & {"kyc.revoke_case", "kyc.change_limits"}
    assert [role for role, names in roles.items() if "kyc.review_case" in names] == ["kyc reviewer"]


def test_the_page_that_assigns_roles_says_what_each_of_them_may_do() -> None:
    assert descriptions() == (
        "viewer: sees whether mails were sent, sees alerts; "
        "responder: sees whether mails were sent, sees alerts, acts on alerts, silences alerts; "
        "finance: sees whether mails were sent, sees limits, sees escrows, sees stops of the money, "
        "sees the ledger, sees payments and payouts, sees alerts; "
        "approver: sees whether mails were sent, sees cases, limits and callbacks, revokes approvals, "
        "sets limits, processes callbacks again, sees escrows, "
        "freezes escrows, sets fees, sees stops of the money, lets releases and payouts go on, "
        "sees the ledger, sees payments and payouts, "
        "processes webhooks of payment providers again, "
        "closes contradictions of payment providers, sees alerts, tunes alert rules, "
        "changes who is notified of alerts; kyc reviewer: sees cases and documents, decides on cases."
    )


def declared_by(app: str) -> set[str]:
    models = {model._meta.model_name for model in apps.get_app_config(app).get_models()}
    rows = Permission.objects.filter(content_type__app_label=app, content_type__model__in=models)
    return {f"{app}.{codename}" for codename in rows.values_list("codename", flat=True)}
