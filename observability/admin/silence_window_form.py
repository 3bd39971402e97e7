"""The form of a recurring silence, in two steps: input, then confirmation with its next occurrences."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from observability.admin.silence_form import MatchersForm, matchers_field
from observability.models import SilenceWindow
from observability.silences import services, windows
from observability.silences.matchers import to_api

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIMES = ("time_zone", "begins", "ends", "first_on", "last_on")


def in_ninety_days() -> Any:
    return timezone.localdate() + timedelta(days=90)


class WindowForm(MatchersForm):
    field_of = MappingProxyType({"ends_at": "ends"})

    matchers = matchers_field(rows=4)
    weekdays = forms.MultipleChoiceField(
        choices=[(str(number), name) for number, name in enumerate(WEEKDAYS)],
        label="Begins on",
        widget=forms.CheckboxSelectMultiple,
    )
    begins = forms.TimeField(label="From", widget=forms.TimeInput(attrs={"type": "time"}))
    ends = forms.TimeField(
        label="Until",
        help_text="Not after the beginning: on the following day.",
        widget=forms.TimeInput(attrs={"type": "time"}),
    )
    time_zone = forms.CharField(
        max_length=64, initial="UTC", help_text="IANA, for example Africa/Lagos or Europe/Berlin."
    )
    first_on = forms.DateField(
        label="First day", initial=timezone.localdate, widget=forms.DateInput(attrs={"type": "date"})
    )
    last_on = forms.DateField(
        label="Last day", initial=in_ninety_days, widget=forms.DateInput(attrs={"type": "date"})
    )
    reason = forms.CharField(
        max_length=services.LONGEST_REASON,
        help_text="Shown with each of its silences.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `create` would raise, before the operator is asked to confirm."""
        if not self.errors:
            self.adding_errors(lambda: windows.checked(self.window(), self.found))
        return self.cleaned_data

    def values(self) -> dict[str, Any]:
        data = self.cleaned_data
        weekdays = [int(number) for number in data["weekdays"]]
        return {"weekdays": weekdays, "reason": data["reason"], **{name: data[name] for name in TIMES}}

    def window(self) -> SilenceWindow:
        """Returns the window that is not stored yet."""
        return SilenceWindow(matchers=to_api(self.found), **self.values())

    def save(self, actor: AbstractBaseUser) -> SilenceWindow | None:
        window: SilenceWindow | None = self.adding_errors(
            lambda: windows.create(actor=actor, matchers=self.found, **self.values())
        )
        return window
