"""Shows the alert rules, how useful each was, and whether Prometheus has it; rule_editor.py changes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from core.console import display
from core.console.history import CappedChangeList
from observability.admin.rule_editor import RuleEditor
from observability.admin.rule_preview import PreviewPages, suggestion_for
from observability.alerts import badges
from observability.models import AlertRule, RuleChange
from observability.models.rules import OPERATORS
from observability.notifiers.links import safe_url
from observability.rules.effective import as_effective, is_disabled, newest_changes
from observability.rules.loaded import ask_about
from observability.rules.quality import DAYS, MOST_LOOKED_AT, Quality, newest_alerts_of, quality_of
from observability.rules.tuning import NOTHING, tuning_of

MOST_SHOWN = 20
NEVER = Quality()


class WithQuality(CappedChangeList):
    """Reads the last 30 days of all rules on the page, and what operators changed, with a query each."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: list[AlertRule] = list(self.result_list)
        found = quality_of(self.result_list)
        changes = newest_changes(self.result_list)
        for rule in self.result_list:
            rule.quality = found.get(rule.pk, NEVER)  # type: ignore[attr-defined]  # for the columns below
            rule.change = changes.get(rule.pk)  # type: ignore[attr-defined]  # likewise


class WhichFilter(admin.SimpleListFilter):
    title = "which"
    parameter_name = "which"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("tuned", "tuned or disabled"),
            ("own", "added by operators"),
            ("records", "recorded series"),
            ("gone", "no longer shipped, or ended"),
        ]

    def choices(self, changelist: Any) -> Any:
        """Yields the choices; without one, the list has the alerting rules of this release."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "alerting rules"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> QuerySet[AlertRule]:
        match self.value():
            case "tuned":
                return queryset.filter(removed_at=None, pk__in=tuned_rules())
            case "own":
                return queryset.filter(removed_at=None, group__name=OPERATORS)
            case "gone":
                return queryset.filter(removed_at__isnull=False)
            case "records":
                return queryset.filter(removed_at=None, kind=AlertRule.Kind.RECORD)
        return queryset.filter(removed_at=None, kind=AlertRule.Kind.ALERT)


class QualityFilter(admin.SimpleListFilter):
    title = f"last {DAYS} days"
    parameter_name = "quality"
    CHOSEN = {
        "fired": lambda quality: quality.fired > 0,
        "never_acknowledged": lambda quality: quality.is_never_acknowledged,
        "noise": lambda quality: quality.is_mostly_noise,
        "silent": lambda quality: quality.fired == 0,
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("fired", "fired"),
            ("never_acknowledged", "fired, never acknowledged"),
            ("noise", "more often noise than useful"),
            ("silent", "did not fire"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> QuerySet[AlertRule]:
        chosen = self.CHOSEN.get(self.value() or "")
        if chosen is None:
            return queryset
        found = quality_of(AlertRule.objects.filter(kind=AlertRule.Kind.ALERT))
        return queryset.filter(pk__in=[pk for pk, quality in found.items() if chosen(quality)])


@admin.register(AlertRule)
class AlertRuleAdmin(RuleEditor, PreviewPages):
    page_template = "observability/console/rule.html"
    list_display = ("rule", "severity_column", "holds", "in_30_days", "last_fired")
    list_display_links = ("rule",)
    list_filter = (WhichFilter, QualityFilter, "group")
    list_per_page = 100
    search_fields = ("name", "expression")
    search_help_text = "Name, or a part of the expression"
    ordering = ("name", "id")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return WithQuality

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        return AlertRule.objects.select_related("group")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AlertRule | None:
        if not object_id.isdecimal():
            return None
        return self.get_queryset(request).filter(pk=object_id).first()

    @admin.display(description="rule", ordering="name")
    def rule(self, rule: AlertRule) -> SafeString:
        return format_html(
            '<span class="am-name">{}{}</span> {}<span class="am-second am-summary">{}</span>',
            rule.name,
            f" ({rule.scope})" if rule.scope else "",
            mark_of(rule),
            display.short(expression_of(rule), 120),
        )

    @admin.display(description="severity")
    def severity_column(self, rule: AlertRule) -> SafeString:
        severity = (change.severity if (change := change_of(rule)) else "") or rule.severity
        return badges.severity_badge(severity) if severity else SafeString()

    @admin.display(description="fires after", ordering="for_seconds")
    def holds(self, rule: AlertRule) -> SafeString:
        change = change_of(rule)
        seconds = rule.for_seconds if change is None or change.for_seconds is None else change.for_seconds
        text = f"{display.duration(timedelta(seconds=seconds))}" if seconds else "at once"
        return format_html('<span class="am-nowrap">{}</span>', text)

    @admin.display(description=f"last {DAYS} days")
    def in_30_days(self, rule: AlertRule) -> SafeString:
        quality = of(rule)
        if not quality.fired:
            return format_html('<span class="am-second">{}</span>', "did not fire")
        told = f"{quality.acknowledged} acknowledged"
        if quality.useful or quality.noise:
            told += f", {quality.useful} useful, {quality.noise} noise"
        second = display.badge("warning", "notifications_off", "Never acknowledged")
        return format_html(
            '<span class="am-first">fired {}</span><span class="am-second">{}</span>{}',
            f"{quality.fired_text} time{'' if quality.fired == 1 else 's'}",
            told,
            second if quality.is_never_acknowledged else "",
        )

    @admin.display(description="last fired")
    def last_fired(self, rule: AlertRule) -> SafeString:
        at = of(rule).last_fired_at
        return display.time_tag(at, display.ago(at)) if at else SafeString()

    def page_context(self, request: HttpRequest, row: AlertRule) -> dict[str, Any]:
        quality = quality_of([row]).get(row.pk, NEVER)
        editor = self.editor_context(request, row)
        severity = editor["effective"].labels.get("severity", "")
        return {
            **editor,
            "effective_holds_for": timedelta(seconds=editor["effective"].for_seconds),
            "severity": badges.severity_badge(severity) if severity else "",
            "quality": quality,
            "days": DAYS,
            "most_looked_at": MOST_LOOKED_AT,
            "runbook": safe_url(editor["effective"].annotations.get("runbook_url", "")),
            "alerts": newest_alerts_of(row, MOST_SHOWN) if row.kind == "alert" else [],
            **(suggestion_for(row) if row.kind == "alert" else {}),
        }

    def get_urls(self) -> list[URLPattern]:
        loaded = path(
            "<int:pk>/loaded/",
            self.admin_site.admin_view(require_safe(self.loaded)),
            name="observability_alertrule_loaded",
        )
        return [loaded, *super().get_urls()]

    def loaded(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answers with what Prometheus has of the rule: as a part of its page, or as a page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rule = self.get_object(request, str(pk))
        if rule is None:
            raise Http404(f"There is no rule {pk}.")
        change = newest_changes([rule]).get(rule.pk)
        context: dict[str, Any] = {
            "row": rule,
            "loaded": ask_about(as_effective([rule])[0]),
            "is_disabled": is_disabled(change),
        }
        if request.headers.get("X-Requested-With") == "fetch":
            return TemplateResponse(request, "observability/console/rule_loaded.html", context)
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "title": str(rule)}
        return TemplateResponse(request, "observability/console/rule_loaded_page.html", context)


def of(rule: AlertRule) -> Quality:
    """Returns the quality that the list has read for the rule."""
    quality: Quality = getattr(rule, "quality", NEVER)
    return quality


def change_of(rule: AlertRule) -> RuleChange | None:
    """Returns the newest change that the list has read for the rule."""
    change: RuleChange | None = getattr(rule, "change", None)
    return change


def expression_of(rule: AlertRule) -> str:
    change = change_of(rule)
    return change.expression if change and change.expression else rule.expression


def mark_of(rule: AlertRule) -> SafeString:
    """Returns the badge that says what operators did with the rule."""
    change = change_of(rule)
    if rule.is_own:
        return display.badge("quiet", "person", "Own")
    if is_disabled(change):
        return display.badge("warning", "block", "Disabled")
    if change is not None and tuning_of(change) != NOTHING:
        return display.badge("info", "tune", "Tuned")
    return SafeString()


def tuned_rules() -> list[int]:
    """Returns the ids of the rules whose newest change tunes a value."""
    return [pk for pk, change in newest_changes().items() if tuning_of(change) != NOTHING]
