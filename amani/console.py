"""Builds the frame of the admin for Unfold: navigation, environment badge and start page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from escrow.admin import overview as escrow_overview
from escrow.admin import stops as money_stops
from kyc.admin import overview as kyc_overview
from observability.admin import overview

BADGE_COLOURS = {"production": "danger", "staging": "warning", "development": "info"}
REFRESH_SECONDS = 20


def environment_badge(_request: HttpRequest) -> list[str]:
    return [settings.ENVIRONMENT, BADGE_COLOURS.get(settings.ENVIRONMENT, "warning")]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Returns the sidebar: the pages that the operator may see, with the number of firing alerts."""
    alerts = [
        page(request, "Alerts", "notifications_active", "episode"),
        page(request, "Deliveries", "outgoing_mail", "delivery"),
        page(request, "Receipts", "inbox", "receipt"),
        page(request, "Rules", "rule", "alertrule"),
        page(request, "Rule versions", "published_with_changes", "rulesversion"),
        page(request, "Silences", "notifications_paused", "silence"),
        page(request, "Recurring silences", "event_repeat", "silencewindow"),
        page(request, "Routes", "alt_route", "route"),
        page(request, "Channels", "cell_tower", "channel"),
        page(request, "Mails", "mail", "mail", app="accounts"),
    ]
    firing = overview.firing_count() if alerts[0] else 0
    if firing and alerts[0]:
        alerts[0]["badge"] = f"{firing}+" if firing == overview.COUNT_AT_MOST else str(firing)
    start = {"title": "Start", "icon": "space_dashboard", "link": reverse("admin:index")}
    books = {"title": "Runbooks", "icon": "menu_book", "link": reverse("runbooks")}
    groups: list[dict[str, Any]] = [{"items": [start, *filter(None, alerts), books]}]
    if kyc := kyc_pages(request):
        groups.append({"title": "KYC", "separator": True, "items": kyc})
    if escrow := escrow_pages(request):
        groups.append({"title": "Escrow", "separator": True, "items": escrow})
    if request.user.is_superuser:
        users = {"title": "Users", "icon": "group", "link": reverse("admin:accounts_user_changelist")}
        groups.append({"title": "Administration", "separator": True, "items": [users]})
    return groups


def kyc_pages(request: HttpRequest) -> list[dict[str, Any]]:
    """Returns the KYC pages that the operator may see, with the number of cases that wait for a review."""
    cases = page(request, "Cases", "badge", "case", app="kyc")
    if cases and (waiting := kyc_overview.waiting_count()):
        cases["badge"] = kyc_overview.at_least(waiting)
    limits = page(request, "Limits", "tune", "limitrule", app="kyc")
    usage = page(request, "Limit usage", "speed", "limitusage", app="kyc")
    callbacks = page(request, "Callbacks", "webhook", "providerevent", app="kyc")
    return [found for found in (cases, limits, usage, callbacks) if found]


def escrow_pages(request: HttpRequest) -> list[dict[str, Any]]:
    """Returns the pages of escrow that the operator may see, with the number of open stops of the money."""
    pages = [
        page(request, "Escrows", "handshake", "escrow", app="escrow"),
        page(request, "Collections", "call_received", "collection", app="escrow"),
        page(request, "Payouts", "call_made", "payout", app="escrow"),
        page(request, "Webhooks", "webhook", "paymentevent", app="escrow"),
        page(request, "Contradictions", "warning", "contradiction", app="escrow"),
        page(request, "Transfers", "swap_horiz", "ledgertransfer", app="escrow"),
        page(request, "Accounts", "account_balance_wallet", "ledgeraccount", app="escrow"),
        page(request, "Fees", "percent", "feerule", app="escrow"),
    ]
    stopped = page(request, "Money stops", "front_hand", "moneystop", app="escrow")
    if stopped and (causes := money_stops.open_causes(request)):
        stopped["badge"] = str(len(causes))
    return [found for found in (*pages, stopped) if found]


def page(
    request: HttpRequest, title: str, icon: str, model: str, *, app: str = "observability"
) -> dict[str, Any] | None:
    if not request.user.has_perm(f"{app}.view_{model}"):
        return None
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Returns the context of the start page: alerts, the pipeline's health, money, the review queue."""
    sees_alerts, sees_cases = overview.may_see(request), kyc_overview.may_see(request)
    context |= {
        "title": "Start",
        "now": timezone.now(),
        "refresh_seconds": REFRESH_SECONDS,
        "may_see": sees_alerts,
        "may_see_kyc": sees_cases,
        "may_see_escrow": sees_alerts and escrow_overview.may_see(request),
    }
    context |= overview.overview() if sees_alerts else {}
    context |= escrow_overview.overview() if context["may_see_escrow"] else {}
    context["banners"] = [*stop_banners(request), *context.get("banners", ())]
    return context | kyc_overview.overview() if sees_cases else context


def stop_banners(request: HttpRequest) -> list[tuple[str, str, str, str, str]]:
    """Returns the banner that money is stopped, as those of alerts are made; none while it is not."""
    causes = money_stops.open_causes(request)
    if not causes:
        return []
    text = f"Nothing is released or paid out: {', and '.join(causes)}."
    return [("bad", "Money is stopped", text, "admin:escrow_moneystop_changelist", "")]
