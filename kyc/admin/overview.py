"""What the start page and the sidebar say about the review queue."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from kyc.models import Case, CaseEvent, State
from kyc.selectors import doubted, waiting, with_duplicate_flag
from kyc.states import Event
from kyc.words import due, event_mark, target, target_in_words

COUNT_AT_MOST = 1_000
MOST_WAITING = 8
EVENTS_LOOKED_AT = 5_000  # the newest: events have no index by time, and a day has fewer
DECISIONS = (Event.APPROVE, Event.REJECT, Event.ASK_FOR_MORE, Event.REVOKE, Event.UPHOLD)


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perm("kyc.view_case")


def waiting_count() -> int:
    return waiting().order_by()[:COUNT_AT_MOST].count()


def at_most(count: int) -> str:
    return f"{count:,}+" if count >= COUNT_AT_MOST else f"{count:,}"


def overview() -> dict[str, Any]:
    now = timezone.now()
    late = waiting().filter(submitted_at__lt=now - target()).order_by()
    decided = decided_today()
    return {
        "kyc_waiting": at_most(count_in(State.SUBMITTED)),
        "kyc_in_review": at_most(count_in(State.IN_REVIEW)),
        "kyc_late": at_most(late[:COUNT_AT_MOST].count()),
        "kyc_doubted": at_most(doubted().order_by()[:COUNT_AT_MOST].count()),
        "kyc_decided": sum(decided.values()),
        "kyc_decided_as": [
            (event_mark(event)[2].lower(), count) for event, count in decided.items() if count
        ],
        "kyc_oldest": [(case, due(case, now)) for case in oldest()],
        "kyc_target": target_in_words(),
    }


def count_in(state: State) -> int:
    return waiting().filter(state=state).order_by()[:COUNT_AT_MOST].count()


def oldest() -> list[Case]:
    rows = waiting().select_related("claimed_by").defer("number_encrypted", "reason")
    return list(with_duplicate_flag(rows)[:MOST_WAITING])


def decided_today() -> dict[str, int]:
    """Decisions since midnight (UTC), by what was decided."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    newest = CaseEvent.objects.order_by("-id").values("id")[:EVENTS_LOOKED_AT]
    today = CaseEvent.objects.filter(id__in=newest, at__gte=midnight).order_by()
    return today.aggregate(**{event: Count("id", filter=Q(event=event)) for event in DECISIONS})
