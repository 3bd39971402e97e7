"""Numbers of the review queue for the start page and the sidebar."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from kyc.badges import due, event_badge, target, target_in_words
from kyc.cases.selectors import doubted, waiting, with_duplicate_flag
from kyc.cases.states import Event
from kyc.models import Case, CaseEvent, State
from kyc.roles import VIEW_CASE

COUNT_AT_MOST = 1_000
MOST_WAITING = 8
EVENTS_LOOKED_AT = 5_000  # the newest: events have no index by time, and a day has fewer
DECISIONS = (Event.APPROVE, Event.REJECT, Event.ASK_FOR_MORE, Event.REVOKE, Event.UPHOLD)


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perm(VIEW_CASE)


def waiting_count() -> int:
    return waiting().order_by()[:COUNT_AT_MOST].count()


def at_least(count: int, looked_at: int = 0) -> str:
    """Formats `count`; adds "+" if it or the number of examined rows reached COUNT_AT_MOST."""
    return f"{count:,}+" if max(count, looked_at) >= COUNT_AT_MOST else f"{count:,}"


def overview() -> dict[str, Any]:
    now = timezone.now()
    queue = list(waiting().values_list("state", "submitted_at")[:COUNT_AT_MOST])
    states = Counter(state for state, _ in queue)
    late = sum(since < now - target() for _, since in queue if since)
    doubts = doubted().order_by()[:COUNT_AT_MOST].count()
    decided = decided_today()
    return {
        "kyc_waiting": at_least(states[State.SUBMITTED], len(queue)),
        "kyc_in_review": at_least(states[State.IN_REVIEW], len(queue)),
        "kyc_late": at_least(late),  # exact, because the oldest come first
        "kyc_doubted": at_least(doubts),
        "kyc_decided": sum(decided.values()),
        "kyc_decided_as": [
            (event_badge(event)[2].lower(), count) for event, count in decided.items() if count
        ],
        "kyc_oldest": [(case, due(case, now)) for case in oldest()],
        "kyc_target": target_in_words(),
    }


def oldest() -> list[Case]:
    rows = waiting().select_related("claimed_by").defer("number_encrypted", "reason")
    return list(with_duplicate_flag(rows)[:MOST_WAITING])


def decided_today() -> dict[str, int]:
    """Returns the number of decisions since midnight (UTC) by event."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    newest = CaseEvent.objects.order_by("-id").values("id")[:EVENTS_LOOKED_AT]
    today = CaseEvent.objects.filter(id__in=newest, at__gte=midnight).order_by()
    return today.aggregate(**{event: Count("id", filter=Q(event=event)) for event in DECISIONS})
