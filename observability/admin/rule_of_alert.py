"""The rule on the alert's page: its values then and now, and the version that fired."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from core.console.history import HistoryAdmin
from observability.alerts.endings.conditions import conditions_of
from observability.models import Episode
from observability.roles import TUNE_RULE
from observability.rules.files import number_text
from observability.rules.fired import Measured, authorship, measure
from observability.rules.quality import rules_of


class RuleOfAlert(HistoryAdmin):
    """Adds to the page of an alert what Prometheus says about its rule, loaded after the page."""

    def get_urls(self) -> list[URLPattern]:
        rule = path(
            "<int:pk>/rule/",
            self.admin_site.admin_view(require_safe(self.rule_then_and_now)),
            name="observability_episode_rule",
        )
        return [rule, *super().get_urls()]

    def rule_then_and_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answers with the rule of the alert: as a part of its page, or as a page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        episode = Episode.objects.filter(pk=pk).first()
        if episode is None:
            raise Http404(f"There is no alert {pk}.")
        context = {"row": episode, "title": str(episode), **rule_context(episode)}
        context["may_tune"] = request.user.has_perm(TUNE_RULE)
        if request.headers.get("X-Requested-With") == "fetch":
            return TemplateResponse(request, "observability/console/alert_rule.html", context)
        return self.framed(request, "observability/console/alert_rule_page.html", context)


def rule_context(episode: Episode) -> dict[str, Any]:
    rule = next(iter(rules_of(episode)), None)
    measured = measure(episode, rule)
    return {
        "rule": rule,
        "measured": measured,
        "lines": lines_of(measured),
        "authorship": authorship(rule, episode.starts_at) if rule is not None else None,
        "is_other_expression": rule is not None
        and conditions_of(measured.expression) != conditions_of(rule.expression),
    }


def lines_of(measured: Measured) -> list[tuple[str, str, str]]:
    """Returns (condition, value then, value now) of each condition as texts."""
    return [
        (reading.condition.text, values_text(reading.then), values_text(reading.now))
        for reading in measured.readings
    ]


def values_text(values: tuple[float, ...]) -> str:
    return ", ".join(shortened(value) for value in values) or "no series"


def shortened(value: float) -> str:
    """Returns the value with at most six significant digits."""
    return number_text(float(f"{value:.6g}"))
