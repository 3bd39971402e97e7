"""The forms that tune a shipped rule, or write an own one: input, then confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django import forms

from core.console.forms import ServiceForm
from observability.models import AlertRule, RuleChange
from observability.models.episode import Severity
from observability.rules import changing, own, tuning
from observability.rules.comparing import sides
from observability.rules.files import number_text, seconds_of
from observability.rules.render import duration_text

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

SEVERITIES = [(severity.value, severity.value) for severity in Severity]
DURATION_HELP = "For example 90s, 5m or 1h30m."


def duration_field(**options: Any) -> forms.CharField:
    return forms.CharField(max_length=24, required=False, **options)


def labels_field(**options: Any) -> forms.CharField:
    return forms.CharField(
        max_length=4_000, required=False, widget=forms.Textarea(attrs={"rows": 2}), **options
    )


def reason_field() -> forms.CharField:
    return forms.CharField(
        max_length=changing.LONGEST_REASON,
        help_text="Shown permanently in the history of the rule.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class RuleForm(ServiceForm):
    """What both forms share. `seen` is the version of the rule that the operator has seen."""

    field_of = MappingProxyType({"for_seconds": "holds", "keep_firing_for_seconds": "keeps_firing"})

    def clean_holds(self) -> str:
        return clean_duration(self.cleaned_data["holds"])

    def clean_keeps_firing(self) -> str:
        return clean_duration(self.cleaned_data["keeps_firing"])

    def clean_labels(self) -> str:
        text: str = self.cleaned_data["labels"]
        labels_from(text)
        return text


class TuneForm(RuleForm):
    """Each empty field is as shipped."""

    threshold = forms.FloatField(required=False)
    holds = duration_field(label="For")
    keeps_firing = duration_field(label="Keep firing for")
    severity = forms.ChoiceField(required=False)
    state = forms.ChoiceField(required=False, choices=[("", "as shipped: enabled"), ("disabled", "disabled")])
    labels = labels_field(label="More labels")
    runbook_url = forms.CharField(max_length=2_000, required=False, label="Runbook")
    reason = reason_field()
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, rule: AlertRule, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rule = rule
        shipped = {side.name: side.shipped for side in sides(rule, None)}
        severity: Any = self.fields["severity"]
        severity.choices = [("", f"as shipped: {rule.severity}"), *SEVERITIES]
        for field, name, more in (
            ("threshold", "threshold", ""),
            ("holds", "for_seconds", DURATION_HELP),
            ("keeps_firing", "keep_firing_for_seconds", DURATION_HELP),
            ("runbook_url", "runbook_url", ""),
        ):
            self.fields[field].help_text = f"Shipped: {shipped[name]}. Empty: as shipped. {more}".strip()
        self.fields[
            "labels"
        ].help_text = "One on each line: name=value. Alertmanager routes and silences by labels."
        if rule.threshold is None:
            self.fields["threshold"].disabled = True
            self.fields["threshold"].help_text = f"Cannot be tuned: {rule.unsplit_because}."

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `tune` would raise, before the operator is asked to confirm."""
        if not self.errors:
            self.adding_errors(lambda: tuning.checked(self.rule, self.tuning()))
        return self.cleaned_data

    def tuning(self) -> tuning.Tuning:
        data = self.cleaned_data
        return tuning.Tuning(
            threshold=data["threshold"],
            for_seconds=seconds_or_none(data["holds"]),
            keep_firing_for_seconds=seconds_or_none(data["keeps_firing"]),
            severity=data["severity"],
            enabled=False if data["state"] else None,
            labels=labels_from(data["labels"]) or None,
            runbook_url=data["runbook_url"],
        )

    def save(self, actor: AbstractBaseUser) -> RuleChange | None:
        data = self.cleaned_data
        change: RuleChange | None = self.adding_errors(
            lambda: tuning.tune(
                rule_id=self.rule.pk,
                tuning=self.tuning(),
                actor=actor,
                reason=data["reason"],
                seen_version=data["seen"],
            )
        )
        return change


class OwnForm(RuleForm):
    name = forms.CharField(max_length=own.LONGEST_NAME, help_text="For example QueueTooLong.")
    expression = forms.CharField(
        max_length=own.LONGEST_EXPRESSION,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="PromQL. It fires for each series that it returns.",
    )
    holds = duration_field(label="For", help_text=f"Empty: fires at once. {DURATION_HELP}")
    keeps_firing = duration_field(label="Keep firing for", help_text=f"Empty: not at all. {DURATION_HELP}")
    severity = forms.ChoiceField(choices=SEVERITIES, initial="warning")
    labels = labels_field(help_text="One on each line: name=value.")
    summary = forms.CharField(max_length=own.LONGEST_TEXT, help_text="What is wrong, in a line.")
    description = forms.CharField(
        max_length=own.LONGEST_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="With the value: {{ $value }}, and labels: {{ $labels.job }}.",
    )
    runbook_url = forms.CharField(max_length=2_000, required=False, label="Runbook")
    reason = reason_field()
    seen = forms.IntegerField(widget=forms.HiddenInput, initial=0)

    def __init__(self, rule: AlertRule | None, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rule = rule

    def clean_expression(self) -> str:
        return str(self.cleaned_data["expression"]).replace("\r\n", "\n").strip()

    def clean(self) -> dict[str, Any]:
        if not self.errors:
            self.adding_errors(lambda: own.require_sense(self.own()))
        return self.cleaned_data

    def own(self) -> own.Own:
        data = self.cleaned_data
        names = ("name", "expression", "severity", "summary", "description", "runbook_url")
        return own.Own(
            for_seconds=seconds_or_none(data["holds"]) or 0.0,
            keep_firing_for_seconds=seconds_or_none(data["keeps_firing"]) or 0.0,
            labels=labels_from(data["labels"]),
            **{name: data[name] for name in names},
        )

    def save(self, actor: AbstractBaseUser) -> AlertRule | None:
        saved: AlertRule | None = self.adding_errors(lambda: self.stored(actor, self.cleaned_data))
        return saved

    def stored(self, actor: AbstractBaseUser, data: Mapping[str, Any]) -> AlertRule:
        if self.rule is None:
            return own.create_rule(own=self.own(), actor=actor, reason=data["reason"])
        return own.edit_rule(
            rule_id=self.rule.pk,
            own=self.own(),
            actor=actor,
            reason=data["reason"],
            seen_version=data["seen"],
        )


def typed_tuning(change: RuleChange | None, without: str = "") -> dict[str, Any]:
    """Returns the fields of the form as they hold now; without one of them, or without `all`, for a reset."""
    fields: dict[str, Any] = {"seen": change.version if change else 0}
    if change is None or without == "all":
        return fields
    values = tuning.tuning_of(change)
    if without in tuning.Tuning._fields:
        values = values._replace(**{without: getattr(tuning.NOTHING, without)})
    return fields | {
        "threshold": None if values.threshold is None else number_text(values.threshold),
        "holds": duration_or_empty(values.for_seconds),
        "keeps_firing": duration_or_empty(values.keep_firing_for_seconds),
        "severity": values.severity,
        "state": "disabled" if values.enabled is False else "",
        "labels": labels_text(values.labels or {}),
        "runbook_url": values.runbook_url,
    }


def typed_own(rule: AlertRule, version: int) -> dict[str, Any]:
    values = own.own_of(rule)
    return values._asdict() | {
        "holds": duration_text(values.for_seconds) if values.for_seconds else "",
        "keeps_firing": duration_text(values.keep_firing_for_seconds)
        if values.keep_firing_for_seconds
        else "",
        "labels": labels_text(values.labels),
        "seen": version,
    }


def clean_duration(text: str) -> str:
    try:
        seconds_or_none(text)
    except ValueError:
        raise forms.ValidationError(f"Enter a time. {DURATION_HELP}") from None
    return text.strip()


def seconds_or_none(text: str) -> float | None:
    return seconds_of(text.strip()) if text.strip() else None


def duration_or_empty(seconds: float | None) -> str:
    return "" if seconds is None else duration_text(seconds)


def labels_from(text: str) -> dict[str, str]:
    """Returns the labels of the lines `name=value`. Raises ValidationError."""
    labels: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise forms.ValidationError(f"{line!r} is no label. Write name=value.")
        if name in labels:
            raise forms.ValidationError(f"The label {name} is there twice.")
        labels[name] = value.strip('"')
    return labels


def labels_text(labels: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in labels.items())
