"""Admin pages of the review queue, oldest first, and of one case with its actions."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, posted_reason, see_other
from core.errors import AmaniError
from kyc.admin import actions, case_page, filters, next_case
from kyc.admin.operator import operator
from kyc.badges import STATE_BADGES, check_badge, claim_is_held, due, provider_name, target_in_words
from kyc.cases import access
from kyc.cases.selectors import with_duplicate_flag
from kyc.cases.states import Event
from kyc.errors import CaseNotFound
from kyc.models import Case, Check, State
from kyc.roles import REVIEW_CASE, VIEW_DOCUMENT, VIEW_DOCUMENT_ACCESS

log = structlog.get_logger(__name__)

LONGEST_TERM = 100
LONGEST_ID = 19
LARGE_COLUMNS = ("number_encrypted", "reason")
NOTHING_FOUND = "No case was found. Search by id, by the start of an e-mail address, or by the full number."
NOTHING_LEFT = "There is no case for you to review: all waiting cases are claimed, or are your own."


class CaseList(CappedChangeList):
    """Prefetches the checks of all rows with one query."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        newest = Prefetch("checks", queryset=Check.objects.order_by("-id"), to_attr="checks_newest_first")
        prefetch_related_objects(self.result_list, newest)


@admin.register(Case)
class CaseAdmin(HistoryAdmin):
    page_template = "kyc/console/case.html"
    list_display = ("case", "standing", "waits", "owner", "checked")
    list_display_links = ("case",)
    list_filter = (filters.StateFilter, "document_type", filters.FlagFilter)
    linked_lookups = (filters.PERSON, filters.NUMBER)
    list_max_show_all = 0
    sortable_by = ()

    class Media:
        css = {"all": ["kyc/review.css"]}
        js = ["kyc/review.js"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CaseList]:
        return CaseList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        cases = Case.objects.select_related("claimed_by").defer(*LARGE_COLUMNS)
        return with_duplicate_flag(cases)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("submitted_at", "id") if filters.is_in_the_queues_order(request) else ("-id",)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Case | None:
        if not object_id.isdecimal():
            return None
        cases = Case.objects.select_related("person", "claimed_by", "decided_by")
        return cases.filter(pk=object_id).first()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "KYC cases",
            "may_review": self.may(request, REVIEW_CASE),
            "target": target_in_words(),
            "is_queue": filters.is_queue(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    # --- The list's columns ---

    @admin.display(description="case")
    def case(self, case: Case) -> SafeString:
        flag = display.badge("warning", "content_copy", "Number claimed twice") if is_duplicate(case) else ""
        return format_html(
            '<span class="am-name">Case {}</span><span class="am-second">{} · {}</span>{}',
            case.pk,
            case.get_document_type_display(),
            case.country,
            flag,
        )

    @admin.display(description="state")
    def standing(self, case: Case) -> SafeString:
        mark = display.badge(*STATE_BADGES[State(case.state)])
        doubt = display.badge("warning", "gpp_maybe", "Doubted") if case.doubted_at else ""
        return format_html("{}{}", mark, doubt)

    @admin.display(description="waits")
    def waits(self, case: Case) -> SafeString:
        standing = due(case)
        if standing is None or case.submitted_at is None:
            return decided_when(case)
        return format_html(
            '<span class="am-first">{}</span><span class="am-word am-small am-ink-{}">{}</span>',
            display.time_tag(case.submitted_at, display.duration(timezone.now() - case.submitted_at)),
            standing.tone,
            standing.text,
        )

    @admin.display(description="claimed by")
    def owner(self, case: Case) -> SafeString:
        if case.claimed_by is None or case.claimed_until is None:
            return format_html(
                '<span class="am-second">{}</span>', "Not claimed" if case.state == State.SUBMITTED else "—"
            )
        until = "until {}" if claim_is_held(case) else "claim expired at {}"
        moment = display.time_tag(case.claimed_until, display.clock(case.claimed_until))
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            case.claimed_by.get_full_name(),
            format_html(until, moment),
        )

    @admin.display(description="provider")
    def checked(self, case: Case) -> SafeString:
        checks: list[Check] = getattr(case, "checks_newest_first")  # noqa: B009  (set by Prefetch)
        if not checks:
            return format_html('<span class="am-second">{}</span>', "—")
        tone, icon, text = check_badge(checks[0])
        return display.badge(tone, icon, f"{provider_name(checks[0].provider)} {text}")

    # --- POST requests ---

    def get_urls(self) -> list[URLPattern]:
        decisions = [
            self.action_path(event, action.permission, partial(self.decide, event))
            for event, action in actions.ACTIONS.items()
        ]
        return [
            *decisions,
            self.action_path("number", REVIEW_CASE, never_cache(self.show_number)),
            path("next/", self.admin_site.admin_view(require_POST(self.review_next)), name="kyc_case_next"),
            path("find/", self.admin_site.admin_view(require_POST(self.find)), name="kyc_case_find"),
            *super().get_urls(),
        ]

    def decide(self, event: Event, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            actions.ACTIONS[event].done,
            lambda: actions.decide(
                event=event,
                case_id=pk,
                actor=operator(request),
                version=request.POST.get("version", ""),
                saw_duplicate="saw_duplicate" in request.POST,
                reason_code=request.POST.get("reason_code", ""),
                reason=posted_reason(request),
            ),
        )
        return see_other(self.page_url(pk))

    def show_number(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Returns the full number: as text for the page's script, without script as the whole page."""
        try:
            number = access.show_number(case_id=pk, actor=operator(request))
        except CaseNotFound as problem:
            raise Http404(str(problem)) from problem
        except AmaniError as problem:
            messages.error(request, str(problem))
            return see_other(self.page_url(pk))
        if request.headers.get("X-Requested-With") == "fetch":
            return HttpResponse(number, "text/plain")
        return self.page_of(request, self.get_object(request, str(pk)), number=number)

    def review_next(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, REVIEW_CASE):
            raise PermissionDenied
        besides = request.POST.get("besides", "")[:LONGEST_ID]
        case = next_case.review_next(
            reviewer=operator(request), besides=int(besides) if besides.isdecimal() else None
        )
        if case is None:
            messages.info(request, NOTHING_LEFT)
            return see_other(reverse(self.url_name("changelist")))
        return see_other(self.page_url(case.pk))

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the found case or a list of results. URL and log do not contain the search term."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.POST.get("term", "").strip()[:LONGEST_TERM]
        found = filters.find(term) if term else ""
        # Shows an operator who tries many numbers, without the numbers.
        log.info("kyc_cases_searched", actor_id=operator(request).pk, found=bool(found))
        cases = reverse(self.url_name("changelist"))
        match found:
            case None:
                messages.info(request, NOTHING_FOUND)
                return see_other(cases)
            case int():
                return see_other(self.page_url(found))
        return see_other(f"{cases}?{found}" if found else cases)

    def page_context(self, request: HttpRequest, row: Case) -> dict[str, Any]:
        user = operator(request)
        context = {**case_page.page_context(row, user), "may_review": self.may(request, REVIEW_CASE)}
        if self.may(request, VIEW_DOCUMENT) and not context["is_own"]:
            context |= case_page.images_context(row)
        if self.may(request, VIEW_DOCUMENT_ACCESS):
            context["accesses"] = case_page.accesses_to(row)
        return context


def is_duplicate(case: Case) -> bool:
    return bool(getattr(case, "is_duplicate"))  # noqa: B009  (annotated by with_duplicate_flag)


def decided_when(case: Case) -> SafeString:
    if case.decided_at is None:
        return format_html('<span class="am-second">{}</span>', "—")
    decided = display.time_tag(case.decided_at, display.ago(case.decided_at))
    return format_html('<span class="am-second">decided {}</span>', decided)
