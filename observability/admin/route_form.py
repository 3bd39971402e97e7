"""The forms of routes: one that adds or changes a route, and the tester."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from django import forms
from django.utils import timezone

from core.console.forms import ServiceForm
from observability.models import Route
from observability.models.episode import Severity
from observability.models.routes import WEEKDAYS
from observability.notifiers import registry
from observability.routes.changing import LONGEST_NAME, LONGEST_REASON, check
from observability.routes.terms import Condition, Step, Terms

LONGEST_TEXT = 20_000
CHECKBOXES = forms.CheckboxSelectMultiple


def channel_choices() -> list[tuple[str, str]]:
    return [(name, registry.get(name).label) for name in registry.NOTIFIERS]


class RouteForm(ServiceForm):
    field_of = MappingProxyType({})

    name = forms.CharField(max_length=LONGEST_NAME)
    severities = forms.MultipleChoiceField(
        choices=Severity.choices, required=False, widget=CHECKBOXES, help_text="None chosen: any."
    )
    conditions = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        label="Labels",
        help_text="One condition in each line: team = payments, core or team != core. All have to hold.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    weekdays = forms.TypedMultipleChoiceField(
        choices=list(WEEKDAYS.items()),
        coerce=int,
        required=False,
        label="Days",
        widget=CHECKBOXES,
        help_text="None chosen: every day.",
    )
    from_time = forms.TimeField(
        required=False, label="From", widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    until_time = forms.TimeField(
        required=False,
        label="Until",
        help_text="Before the beginning: on the next day. Both empty: the whole day.",
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )
    time_zone = forms.CharField(
        max_length=64, label="Time zone", help_text="IANA name, for example Africa/Lagos."
    )
    notifies = forms.TypedChoiceField(
        label="Then",
        choices=[("yes", "notify these channels"), ("no", "send no notification: the alert is only stored")],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    channels = forms.MultipleChoiceField(choices=channel_choices, required=False, widget=CHECKBOXES)
    steps = forms.CharField(
        required=False,
        max_length=1_000,
        label="Escalation",
        help_text="While no operator has acknowledged it, one step in each line, minutes and channels: "
        "15: pagerduty.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    is_on = forms.BooleanField(required=False, label="Switched on")
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text="Shown permanently in the history of the route.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `save_route` would raise, before the operator is asked to confirm."""
        if not self.errors:
            self.adding_errors(lambda: check(self.terms()))
        return self.cleaned_data

    def clean_steps(self) -> str:
        """Keeps what was typed, which the form shows again."""
        typed: str = self.cleaned_data["steps"]
        read_steps(typed)
        return typed

    def clean_conditions(self) -> str:
        typed: str = self.cleaned_data["conditions"]
        read_conditions(typed)
        return typed

    def terms(self) -> Terms:
        """Returns the route of a form without errors."""
        data = self.cleaned_data
        return Terms(
            name=data["name"].strip(),
            channels=tuple(data["channels"]) if data["notifies"] else (),
            notifies=data["notifies"],
            is_on=data["is_on"],
            severities=tuple(data["severities"]),
            conditions=tuple(read_conditions(data["conditions"])),
            weekdays=tuple(data["weekdays"]),
            from_time=data["from_time"],
            until_time=data["until_time"],
            time_zone=data["time_zone"].strip(),
            steps=tuple(read_steps(data["steps"])) if data["notifies"] else (),
        )


def as_typed(route: Route, seen: int) -> dict[str, Any]:
    """Returns the route as the form's initial values."""
    return {
        "name": route.name,
        "severities": route.severities,
        "conditions": "\n".join(str(matcher) for matcher in route.matchers.all()),
        "weekdays": route.weekdays,
        "from_time": route.from_time,
        "until_time": route.until_time,
        "time_zone": route.time_zone,
        "notifies": "yes" if route.notifies else "no",
        "channels": route.channels,
        "steps": "\n".join(f"{step.after_minutes}: {', '.join(step.channels)}" for step in route.steps.all()),
        "is_on": route.is_on,
        "seen": seen,
    }


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def names_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def read_conditions(text: str) -> list[Condition]:
    """Returns the conditions that were typed. Raises ValidationError, with the line."""
    conditions = []
    for line in lines_of(text):
        label, equals, values = line.partition("=")
        is_excluded = label.rstrip().endswith("!")
        name = label.rstrip().removesuffix("!").strip()
        if not equals or not name or not names_in(values):
            raise forms.ValidationError(f"Write “{line[:60]}” as label = value, value or label != value.")
        conditions.append(Condition(name, is_excluded, names_in(values)))
    return conditions


def read_steps(text: str) -> list[Step]:
    """Returns the steps that were typed. Raises ValidationError, with the line."""
    steps = []
    for line in lines_of(text):
        minutes, colon, channels = line.partition(":")
        minutes = minutes.strip()
        if not colon or not minutes.isascii() or not minutes.isdecimal() or len(minutes) > 5:
            raise forms.ValidationError(f"Write “{line[:60]}” as minutes: channel, channel.")
        steps.append(Step(int(minutes), names_in(channels)))
    return steps


class TesterForm(forms.Form):
    """An alert that may come, and when."""

    severity = forms.ChoiceField(choices=Severity.choices)
    at = forms.DateTimeField(
        required=False,
        label="When (UTC)",
        help_text="Empty: now.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    labels = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        help_text="One in each line: team = payments",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean_labels(self) -> str:
        typed: str = self.cleaned_data["labels"]
        self.cleaned_data["pairs"] = read_labels(typed)
        return typed

    def moment(self) -> datetime:
        at: datetime | None = self.cleaned_data["at"]
        return at.astimezone(UTC) if at else timezone.now()


def read_labels(text: str) -> dict[str, str]:
    """Returns the labels that were typed. Raises ValidationError, with the line."""
    labels = {}
    for line in lines_of(text):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise forms.ValidationError(f"Write “{line[:60]}” as label = value.")
        labels[name.strip()] = value.strip()
    return labels
