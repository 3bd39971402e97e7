"""Roles by addresses of the console, as one table. An address that is not in the table fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib.auth import middleware
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Mail, User
from escrow import stops
from escrow.admin.tests.payments import whole_payments
from kyc.models import Check, Document, LimitRule, LimitUsage, ProviderEvent
from kyc.tests.people import submitted
from observability.models import AlertRule, Route, RulePreview, RulesVersion, SilenceWindow
from observability.rules.render import FILE
from observability.tests import history

pytestmark = pytest.mark.django_db

BEFORE = ("admin/", "runbooks/", "kyc/")  # where the console's addresses begin
ROLES = ("viewer", "responder", "kyc reviewer", "finance", "approver")
COLUMNS = ("nobody", *ROLES, "superuser")  # "nobody": an operator without a role
# Each cell: the answers to a GET and to a POST. 405: nothing to get (an action), or nothing to post (a page).
# Django's own pages answer a POST with 200 when it is of a form that lacks everything, or of no action.
TABLE = """
                                    nobody   viewer   responder reviewer finance  approver superuser
search                              200 200  200 200  200 200  200 200  200 200  200 200  200 200
index                               200 200  200 200  200 200  200 200  200 200  200 200  200 200
password_change                     302 302  302 302  302 302  302 302  302 302  302 302  302 302
password_change_done                200 405  200 405  200 405  200 405  200 405  200 405  200 405
jsi18n                              200 405  200 405  200 405  200 405  200 405  200 405  200 405
autocomplete                        403 405  403 405  403 405  403 405  403 405  403 405  403 405
view_on_site                        404 404  404 404  404 404  404 404  404 404  404 404  404 404
accounts_user_reset_second_factor   405 403  405 403  405 403  405 403  405 403  405 403  405 303
auth_user_password_change           403 403  403 403  403 403  403 403  403 403  403 403  200 200
accounts_user_changelist            403 403  403 403  403 403  403 403  403 403  403 403  200 200
accounts_user_add                   403 403  403 403  403 403  403 403  403 403  403 403  200 200
accounts_user_history               403 403  403 403  403 403  403 403  403 403  403 403  200 200
accounts_user_delete                403 403  403 403  403 403  403 403  403 403  403 403  403 403
accounts_user_change                403 403  403 403  403 403  403 403  403 403  403 403  200 200
accounts_mail_changelist            403 403  200 200  200 200  403 403  200 200  200 200  200 200
accounts_mail_add                   403 403  403 403  403 403  403 403  403 403  403 403  403 403
accounts_mail_history               302 302  302 302  302 302  302 302  302 302  302 302  302 302
accounts_mail_delete                403 403  403 403  403 403  403 403  403 403  403 403  403 403
accounts_mail_change                403 403  200 405  200 405  403 403  200 405  200 405  200 405
escrow_collection_find              405 403  405 403  405 403  405 403  405 303  405 303  405 303
escrow_collection_changelist        403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_collection_add               403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_collection_history           302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_collection_delete            403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_collection_change            403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_contradiction_close          405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_contradiction_changelist     403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_contradiction_add            403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_contradiction_history        302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_contradiction_delete         403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_contradiction_change         403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_escrow_freeze                405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_escrow_unfreeze              405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_escrow_end_for_buyer         405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_escrow_end_for_seller        405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_escrow_find                  405 403  405 403  405 403  405 403  405 303  405 303  405 303
escrow_escrow_changelist            403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_escrow_add                   403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_escrow_history               302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_escrow_delete                403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_escrow_change                403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_feerule_set                  403 403  403 403  403 403  403 403  403 403  200 200  200 200
escrow_feerule_changelist           403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_feerule_add                  403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_feerule_history              302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_feerule_delete               403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_feerule_change               403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_ledgeraccount_find           405 403  405 403  405 403  405 403  405 303  405 303  405 303
escrow_ledgeraccount_changelist     403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_ledgeraccount_add            403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_ledgeraccount_history        302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_ledgeraccount_delete         403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_ledgeraccount_change         403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_ledgertransfer_find          405 403  405 403  405 403  405 403  405 303  405 303  405 303
escrow_ledgertransfer_changelist    403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_ledgertransfer_add           403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_ledgertransfer_history       302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_ledgertransfer_delete        403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_ledgertransfer_change        403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_moneystop_clear              405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_moneystop_changelist         403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_moneystop_add                403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_moneystop_history            302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_moneystop_delete             403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_moneystop_change             403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_paymentevent_again           405 403  405 403  405 403  405 403  405 403  405 303  405 303
escrow_paymentevent_changelist      403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_paymentevent_add             403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_paymentevent_history         302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_paymentevent_delete          403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_paymentevent_change          403 403  403 403  403 403  403 403  200 405  200 405  200 405
escrow_payout_find                  405 403  405 403  405 403  405 403  405 303  405 303  405 303
escrow_payout_changelist            403 403  403 403  403 403  403 403  200 200  200 200  200 200
escrow_payout_add                   403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_payout_history               302 302  302 302  302 302  302 302  302 302  302 302  302 302
escrow_payout_delete                403 403  403 403  403 403  403 403  403 403  403 403  403 403
escrow_payout_change                403 403  403 403  403 403  403 403  200 405  200 405  200 405
kyc_case_claim                      405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_approve                    405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_reject                     405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_ask_for_more               405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_release                    405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_revoke                     405 403  405 403  405 403  405 403  405 403  405 303  405 303
kyc_case_uphold                     405 403  405 403  405 403  405 403  405 403  405 303  405 303
kyc_case_number                     405 403  405 403  405 403  405 200  405 403  405 403  405 200
kyc_case_next                       405 403  405 403  405 403  405 303  405 403  405 403  405 303
kyc_case_find                       405 403  405 403  405 403  405 303  405 403  405 303  405 303
kyc_case_changelist                 403 403  403 403  403 403  200 200  403 403  200 200  200 200
kyc_case_add                        403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_case_history                    302 302  302 302  302 302  302 302  302 302  302 302  302 302
kyc_case_delete                     403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_case_change                     403 403  403 403  403 403  200 405  403 403  200 405  200 405
kyc_limitrule_set                   403 403  403 403  403 403  403 403  403 403  200 200  200 200
kyc_limitrule_changelist            403 403  403 403  403 403  403 403  200 200  200 200  200 200
kyc_limitrule_add                   403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_limitrule_history               302 302  302 302  302 302  302 302  302 302  302 302  302 302
kyc_limitrule_delete                403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_limitrule_change                403 403  403 403  403 403  403 403  200 405  200 405  200 405
kyc_limitusage_find                 405 403  405 403  405 403  405 403  405 303  405 303  405 303
kyc_limitusage_changelist           403 403  403 403  403 403  403 403  200 200  200 200  200 200
kyc_limitusage_add                  403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_limitusage_history              302 302  302 302  302 302  302 302  302 302  302 302  302 302
kyc_limitusage_delete               403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_limitusage_change               403 403  403 403  403 403  403 403  200 405  200 405  200 405
kyc_providerevent_again             405 403  405 403  405 403  405 403  405 403  405 303  405 303
kyc_providerevent_changelist        403 403  403 403  403 403  403 403  403 403  200 200  200 200
kyc_providerevent_add               403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_providerevent_history           302 302  302 302  302 302  302 302  302 302  302 302  302 302
kyc_providerevent_delete            403 403  403 403  403 403  403 403  403 403  403 403  403 403
kyc_providerevent_change            403 403  403 403  403 403  403 403  403 403  200 405  200 405
observability_route_set             403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_route_edit            403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_route_move_up         405 403  405 403  405 403  405 403  405 403  405 303  405 303
observability_route_remove          405 403  405 403  405 403  405 403  405 403  405 303  405 303
observability_route_changelist      403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_route_add             403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_route_history         302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_route_delete          403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_route_change          403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_alertrule_loaded      403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_alertrule_create      403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_alertrule_tune        403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_alertrule_end         405 403  405 403  405 403  405 403  405 403  405 303  405 303
observability_alertrule_preview_form 403 403 200 200  200 200  403 403  200 200  200 200  200 200
observability_alertrule_preview     403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_alertrule_changelist  403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_alertrule_add         403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_alertrule_history     302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_alertrule_delete      403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_alertrule_change      403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_channel_changelist    403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_channel_add           403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_channel_history       302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_channel_delete        403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_channel_change        403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_delivery_resend       405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_delivery_changelist   403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_delivery_add          403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_delivery_history      302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_delivery_delete       403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_delivery_change       403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_episode_acknowledge   405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_episode_note          405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_episode_mark          405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_episode_rule          403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_episode_samples       403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_episode_changelist    403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_episode_add           403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_episode_history       302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_episode_delete        403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_episode_change        403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_receipt_reprocess     405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_receipt_raw           403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_receipt_changelist    403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_receipt_add           403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_receipt_history       302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_receipt_delete        403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_receipt_change        403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_silencewindow_new     403 403  403 403  200 200  403 403  403 403  403 403  200 200
observability_silencewindow_end     405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_silencewindow_changelist 403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_silencewindow_add     403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_silencewindow_history 302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_silencewindow_delete  403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_silencewindow_change  403 403  200 405  200 405  403 403  200 405  200 405  200 405
observability_silence_new           403 403  403 403  200 200  403 403  403 403  403 403  200 200
observability_silence_extend        405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_silence_expire        405 403  405 403  405 303  405 403  405 403  405 403  405 303
observability_silence_changelist    403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_silence_add           403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_silence_history       302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_silence_delete        403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_silence_change        403 403  200 405  200 405  403 403  200 405  200 405  200 405
app_list:accounts                   404 404  200 200  200 200  404 404  200 200  200 200  200 200
app_list:escrow                     404 404  404 404  404 404  404 404  200 200  200 200  200 200
app_list:kyc                        404 404  404 404  404 404  200 200  200 200  200 200  200 200
observability_rulesversion_publish  403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_rulesversion_revert   403 403  403 403  403 403  403 403  403 403  200 200  200 200
observability_rulesversion_file     403 405  200 405  200 405  403 405  200 405  200 405  200 405
observability_rulesversion_changelist 403 403  200 200  200 200  403 403  200 200  200 200  200 200
observability_rulesversion_add      403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_rulesversion_history  302 302  302 302  302 302  302 302  302 302  302 302  302 302
observability_rulesversion_delete   403 403  403 403  403 403  403 403  403 403  403 403  403 403
observability_rulesversion_change   403 403  200 405  200 405  403 403  200 405  200 405  200 405
app_list:observability              404 404  200 200  200 200  404 404  200 200  200 200  200 200
kyc-document                        403 405  403 405  403 405  200 405  403 405  403 405  200 405
runbooks                            200 405  200 405  200 405  200 405  200 405  200 405  200 405
runbook                             200 405  200 405  200 405  200 405  200 405  200 405  200 405
"""
REASON = {"reason": "Looked at it.", "reason_code": "unreadable"}


class Address(NamedTuple):
    name: str
    url: str


@pytest.fixture(autouse=True)
def each_session_is_read_once(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Whose a session is, and what they may: asked with its first request, not at a thousand addresses."""
    known: dict[str, Any] = {}
    get_user = middleware.get_user

    def get_known_user(request: HttpRequest) -> Any:
        session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if session not in known:
            known[session] = get_user(request)
        return known[session]

    # In the middleware only: a module that is imported during a test may keep a name of django.contrib.auth.
    monkeypatch.setattr(middleware, "get_user", get_known_user)


@pytest.fixture
def rows() -> dict[str, Any]:
    """One row of each model that has a page, by "app_model"."""
    user = User.objects.create_user("somebody@example.com", full_name="Some Body")
    history.whole_history(1, None)
    Route.objects.create(name="all", position=1, channels=["slack"])
    case = submitted(user)
    Check.objects.create(case=case, provider="smile_id", reference="reference")
    ProviderEvent.objects.create(provider="smile_id", event_id="event", body=b"{}", signature_ok=True)
    SilenceWindow.objects.create(
        matchers=[],
        reason="Test.",
        owner=user,
        time_zone="UTC",
        weekdays=[0],
        begins="01:00",
        ends="02:00",
        first_on="2026-01-01",
        last_on="2026-01-02",
    )
    LimitRule.objects.create(tier=3, currency="XAF", kind="daily", amount_minor=100, reason="Test.")
    LimitUsage.objects.create(
        person=user, currency="XAF", kind="daily", window_start="2026-01-01", cap_minor=1
    )
    Mail.objects.create(kind="other", content=b"sealed", expires_at=timezone.now())
    whole_payments()
    stops.open_for({"drift": "account 7"})
    files = {FILE: ""}
    RulesVersion.objects.create(number=1, author_text="a test", reason="Test.", files=files, rule_count=0)
    rule = AlertRule.objects.get(key="HighErrorRate")
    times = {"for_seconds": 60, "keep_firing_for_seconds": 0}
    RulePreview.objects.create(rule=rule, asked_by=user, days=1, **times)
    models = {model._meta.label_lower.replace(".", "_"): model for model in apps.get_models()}
    found = {name: model._default_manager.first() for name, model in models.items()}
    return found | {"accounts_user": user, "auth_user": user, "observability_alertrule": rule}


def patterns(found: list[Any], before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in found:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns, route)
        elif route.startswith(BEFORE):
            yield route, pattern


def addresses(rows: dict[str, Any]) -> Iterator[Address]:
    """Every address of the console that has a name. Django's few without one lead to these, or nowhere."""
    image = str(Document.objects.get(side="front").public_id)
    for route, pattern in patterns(get_resolver().url_patterns):
        if pattern.name == "app_list":
            yield from (
                Address(f"app_list:{app}", f"/admin/{app}/")
                for app in ("accounts", "escrow", "kyc", "observability")
            )
        elif pattern.name:
            row = rows.get("_".join(pattern.name.split("_")[:2]))
            values = {name: str(row.pk) for name in ("object_id", "pk", "id") if row is not None}
            values |= {
                "public_id": image,
                "name": "Watchdog",
                "number": str(rows["observability_rulepreview"].pk),
            }
            values |= {"content_type_id": "1", "object_id": values.get("object_id", "1")}
            yield Address(pattern.name, "/" + filled(route, pattern, values))


def filled(route: str, pattern: URLPattern, values: dict[str, str]) -> str:
    for name in pattern.pattern.converters:
        assert name in values, f"{pattern.name} takes {name!r}: say in this test which row to show."
        kinds = [f"<{kind}{name}>" for kind in ("", "int:", "path:", "str:", "uuid:")]
        route = next(route.replace(kind, values[name]) for kind in kinds if kind in route)
    return route


def made(role: str) -> Client:
    user = User.objects.create_user(f"{role.replace(' ', '-')}@example.com", is_staff=role != "buyer")
    if role == "superuser":
        User.objects.filter(pk=user.pk).update(is_superuser=True)
    elif role in ROLES:
        user.groups.add(Group.objects.get(name=role))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def statuses(client: Client, rows: dict[str, Any]) -> dict[str, str]:
    """What each address answers to a GET and to a POST."""
    return {
        name: f"{client.get(url).status_code} {client.post(url, REASON).status_code}"
        for name, url in addresses(rows)
        if name not in ("login", "logout")  # the way in and the way out
    }


def expected() -> dict[str, list[str]]:
    """The table's cells by address."""
    lines = [line.split() for line in TABLE.strip().splitlines()[1:]]
    return {name: [f"{get} {post}" for get, post in pairwise_of(cells)] for name, *cells in lines}


def pairwise_of(cells: list[str]) -> Iterator[tuple[str, str]]:
    return zip(cells[::2], cells[1::2], strict=True)


def test_every_address_of_the_console_is_in_the_table(rows: dict[str, Any]) -> None:
    found = {address.name for address in addresses(rows)} - {"login", "logout"}
    missing, gone = found - expected().keys(), expected().keys() - found
    assert not missing, f"New in the console: {sorted(missing)}. Say in TABLE who may open it."
    assert not gone, f"No longer in the console: {sorted(gone)}. Take it out of TABLE."


@pytest.mark.parametrize("role", COLUMNS)
def test_role_opens_exactly_its_pages_and_does_exactly_its_actions(role: str, rows: dict[str, Any]) -> None:
    column = COLUMNS.index(role)
    table = {name: cells[column] for name, cells in expected().items()}
    found = {name: cell for name, cell in statuses(made(role), rows).items() if name in table}
    assert found == table


def test_signed_out_people_and_buyers_are_sent_to_the_way_in(rows: dict[str, Any]) -> None:
    for client in (Client(), made("buyer")):
        assert set(statuses(client, rows).values()) == {"302 302"}


def test_not_even_a_superuser_opens_anything_without_the_second_factor(
    rows: dict[str, Any], settings: Any
) -> None:
    settings.STAFF_MFA_REQUIRED = True
    client = made("superuser")
    assert set(statuses(client, rows).values()) == {"302 302"}
    assert {client.get(url).headers["Location"].split("?")[0] for _, url in addresses(rows)} <= {
        "/admin/login/",
        "/admin/",
        "/accounts/2fa/totp/activate/",
    }
