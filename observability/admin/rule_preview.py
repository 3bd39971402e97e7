"""The pages of previews: what a rule would have done with other values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods, require_safe

from core.console.history import HistoryAdmin, actor_of, see_other
from observability.models import AlertRule, Episode, RulePreview
from observability.rules.durations import read_duration
from observability.rules.files import number_text
from observability.rules.preview import chart
from observability.rules.preview.asking import Present, present_of
from observability.rules.preview.work import DAYS, ask_for, newest_suggestion
from observability.rules.render import duration_text

FIELDS = ("threshold", "for", "keep_firing_for", "days")  # a link may give each as a parameter
MOST_SHOWN = 50  # real alerts in the list of a preview


class DurationField(forms.Field):
    """Seconds, typed as a duration of Prometheus or as a number of seconds."""

    def to_python(self, value: Any) -> float | None:
        if value in self.empty_values:
            return None
        try:
            return read_duration(str(value))
        except ValueError as problem:
            raise forms.ValidationError(str(problem)) from None


class PreviewForm(forms.Form):
    """The values to try. The names are those of the parameters with which other pages link here.

    Fields: threshold, for, keep_firing_for, days. `for` is no name for an attribute, hence `base_fields`.
    """

    threshold = forms.FloatField(required=False)
    keep_firing_for = DurationField(required=False, label="Keep firing for")
    days = forms.TypedChoiceField(
        coerce=int, choices=[(days, f"{days} day{'s' * (days > 1)}") for days in DAYS], label="Of the last"
    )

    def __init__(self, present: Present, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.present = present
        self.fields["for"] = DurationField(required=False, label="For")
        self.fields["for"].help_text = "How long it must hold until the alert fires."
        self.fields["keep_firing_for"].help_text = "How long it fires on when it no longer holds."
        if present.threshold is None:
            del self.fields["threshold"]
        else:
            self.fields["threshold"].label = f"Threshold ({present.comparison})"
        self.order_fields(FIELDS)

    def values(self) -> dict[str, Any]:
        """Returns the arguments of `ask_for`. What is left empty is as it is now."""
        data, rule = self.cleaned_data, self.present.rule
        return {
            "days": data["days"],
            "threshold": or_else(data.get("threshold"), self.present.threshold),
            "for_seconds": or_else(data["for"], rule.for_seconds),
            "keep_firing_for_seconds": or_else(data["keep_firing_for"], rule.keep_firing_for_seconds),
        }


def or_else(value: float | None, other: float | None) -> float | None:
    return other if value is None else value


def initial(present: Present, given: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the form shows at first: the rule as it is, and in its place what a link gives."""
    values: dict[str, Any] = {
        "for": duration_text(present.rule.for_seconds),
        "keep_firing_for": duration_text(present.rule.keep_firing_for_seconds),
        "days": 7,
    }
    if present.threshold is not None:
        values["threshold"] = number_text(present.threshold)
    return values | {
        name: given[name] for name in ("threshold", "for", "keep_firing_for", "days") if name in given
    }


class PreviewPages(HistoryAdmin):
    """Adds the pages of previews to the page of a rule: the form, and each preview."""

    def get_urls(self) -> list[URLPattern]:
        form = require_http_methods(["GET", "HEAD", "POST"])(self.preview_form)
        one = require_safe(self.preview)
        return [
            path(
                "<int:pk>/preview/",
                self.admin_site.admin_view(form),
                name="observability_alertrule_preview_form",
            ),
            path(
                "<int:pk>/preview/<int:number>/",
                self.admin_site.admin_view(one),
                name="observability_alertrule_preview",
            ),
            *super().get_urls(),
        ]

    def alerting_rule(self, request: HttpRequest, pk: int) -> AlertRule:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rule: AlertRule | None = self.get_object(request, str(pk))
        if rule is None or rule.kind != AlertRule.Kind.ALERT:
            raise Http404(f"There is no alerting rule {pk}.")
        return rule

    def preview_form(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Shows the form; a POST stores what to compute and leads to its page."""
        rule = self.alerting_rule(request, pk)
        present = present_of(rule)
        if request.method == "POST":
            form = PreviewForm(present, request.POST)
            if form.is_valid():
                preview = ask_for(rule=rule, actor=actor_of(request), **form.values())
                return see_other(preview_url(preview))
        else:
            form = PreviewForm(present, initial=initial(present, request.GET.dict()))
        context = {
            "title": f"What would {rule} have done?",
            "row": rule,
            "form": form,
            "present": present,
        }
        return self.framed(request, "observability/console/preview_form.html", context)

    def preview(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """Answers with a preview, or how far it is: as a part of its page, or as a page."""
        rule = self.alerting_rule(request, pk)
        preview = RulePreview.objects.filter(pk=number, rule=rule).select_related("asked_by").first()
        if preview is None:
            raise Http404(f"There is no preview {number} of this rule. Previews are deleted after a week.")
        context = {"row": rule, "preview": preview, "title": f"What would {rule} have done?"}
        context |= {"again": again(preview), "all_days": DAYS, **result_context(preview)}
        if request.headers.get("X-Requested-With") == "fetch":
            return TemplateResponse(request, "observability/console/preview_part.html", context)
        return self.framed(request, "observability/console/preview.html", context)


def trying(
    rule: AlertRule, threshold: float | None, for_seconds: float, keep_firing_for_seconds: float
) -> str:
    """Returns the address of the form that tries these values."""
    values = {} if threshold is None else {"threshold": number_text(threshold)}
    values |= {"for": duration_text(for_seconds), "keep_firing_for": duration_text(keep_firing_for_seconds)}
    address = reverse("admin:observability_alertrule_preview_form", args=[rule.pk])
    return f"{address}?{urlencode(values)}"


def preview_url(preview: RulePreview) -> str:
    return reverse("admin:observability_alertrule_preview", args=[preview.rule_id, preview.pk])


def again(preview: RulePreview) -> dict[str, Any]:
    """Returns the fields of the form that asks for it anew."""
    threshold = {} if preview.threshold is None else {"threshold": number_text(preview.threshold)}
    return threshold | {
        "for": duration_text(preview.for_seconds),
        "keep_firing_for": duration_text(preview.keep_firing_for_seconds),
        "days": preview.days,
    }


def result_context(preview: RulePreview) -> dict[str, Any]:
    """Returns what the page of a finished preview shows; nothing for one without a result."""
    result = preview.result
    if result is None:
        return {}
    return {
        "result": result,
        "picture": chart.picture_of(result),
        "size": (chart.WIDTH, chart.HEIGHT, chart.TOP, chart.BOTTOM),
        "window": (moment(result["start"]), moment(result["end"])),
        "versions": [
            version(name, what, result)
            for name, what in (("Proposed", "proposed"), ("Present", "present"), ("Recorded", "recorded"))
        ],
        "fidelity_percent": None if result["fidelity"] is None else int(result["fidelity"] * 100),
        **alerts_context(result),
        **suggestion_context(result["suggestion"]),
    }


def version(name: str, what: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one row of the table."""
    found = result[what]
    row: dict[str, Any] = {
        "name": name,
        "lane": what,
        "times": found["times"],
        "lasted": timedelta(seconds=found["seconds"]),
    }
    if what != "recorded":
        row["text"] = values_text(result["comparison"], found)
    return row


def values_text(comparison: str, values: Mapping[str, Any]) -> str:
    """Returns the values of a rule as text: `> 5 for 5m`."""
    parts = [f"{comparison} {number_text(float(values['threshold']))}"] if comparison else []
    parts.append(f"for {duration_text(values['for_seconds'])}")
    if values["keep_firing_for_seconds"]:
        parts.append(f"keeps firing for {duration_text(values['keep_firing_for_seconds'])}")
    return ", ".join(parts)


def alerts_context(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the real alerts with their marks of now, and how many of each kind the proposed rule keeps."""
    kept = {one["id"]: one["kept"] for one in result["alerts"]}
    found = list(Episode.objects.filter(pk__in=kept).order_by("-starts_at"))
    groups = {
        "all": found,
        "acknowledged": [one for one in found if one.acknowledged_at],
        "marked useful": [one for one in found if one.mark == Episode.Mark.USEFUL],
        "marked as noise": [one for one in found if one.mark == Episode.Mark.NOISE],
    }
    return {
        "real": [(alert, kept[alert.pk]) for alert in found[:MOST_SHOWN]],
        "real_left_out": max(0, len(found) - MOST_SHOWN),
        "real_counts": [
            (name, len(rows), sum(kept[row.pk] for row in rows)) for name, rows in groups.items()
        ],
    }


def suggestion_context(suggestion: Mapping[str, Any]) -> dict[str, Any]:
    if suggestion["threshold"] is None:
        return {"suggestion": suggestion}
    return {
        "suggestion": {
            **suggestion,
            "text": number_text(float(suggestion["threshold"])),
            "lasted": timedelta(seconds=suggestion["seconds"]),
        }
    }


def suggestion_for(rule: AlertRule) -> dict[str, Any]:
    """Returns what the page of a rule shows of its newest suggested threshold."""
    preview = newest_suggestion(rule)
    if preview is None or preview.result is None:
        return {"suggested": None}
    return {
        "suggested": preview,
        "suggested_url": preview_url(preview),
        **suggestion_context(preview.result["suggestion"]),
    }


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
