"""The forms of silences: a new one in two steps (input, then confirmation with a preview), and its end.

`MatchersForm` is also the base of the form of a recurring one (silence_window_form.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from core.console import display
from core.console.forms import ServiceForm
from observability.models import Silence, SilenceWindow
from observability.silences import preview, services
from observability.silences.matchers import LONGEST_VALUE, MOST_MATCHERS, Matcher, read
from observability.silences.preview import Preview

LENGTHS = (15, 30, 60, 120, 240, 480, 1440, 2880, 4320, 10_080)  # minutes


def choices() -> list[tuple[str, str]]:
    """Returns the lengths that SILENCE_MAX_DAYS allows, as minutes, and it itself."""
    longest = settings.SILENCE_MAX_DAYS * 1440
    allowed = sorted({*(minutes for minutes in LENGTHS if minutes < longest), longest})
    return [(str(minutes), display.duration(timedelta(minutes=minutes))) for minutes in allowed]


def matchers_field(*, rows: int, more: str = "") -> forms.CharField:
    """Returns the field of the matchers. `more`: a sentence after its help."""
    help_text = 'One a line, all must match: name="value", with =, !=, =~ (regular expression) or !~.'
    return forms.CharField(
        max_length=MOST_MATCHERS * LONGEST_VALUE,
        help_text=f"{help_text} {more}".rstrip(),
        widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "false", "class": "am-code"}),
    )


class MatchersForm(ServiceForm):
    """What the forms of a silence and of a recurring one have in common. Each declares `matchers` itself."""

    found: list[Matcher]

    def clean_matchers(self) -> str:
        """Keeps what was typed, which the form shows again; `found` has what it means."""
        typed: str = self.cleaned_data["matchers"]
        self.found = self.adding_errors(lambda: read(typed)) or []
        return typed

    def preview(self) -> Preview | None:
        """Returns what the matchers hide; None after adding what Alertmanager refuses."""
        found: Preview | None = self.adding_errors(lambda: preview.preview(self.found, timezone.now()))
        return found

    def save(self, actor: AbstractBaseUser) -> Silence | SilenceWindow | None:
        """Stores it, and returns the row; None after adding why not."""
        raise NotImplementedError


class SilenceForm(MatchersForm):
    field_of = MappingProxyType({"ends_at": "lasts"})

    matchers = matchers_field(rows=6, more="Remove a line to silence more.")
    lasts = forms.ChoiceField(choices=choices, initial="120", label="For")
    starts_at = forms.DateTimeField(
        required=False,
        label="From (UTC)",
        help_text="Empty: from the moment you confirm.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}),
    )
    reason = forms.CharField(
        max_length=services.LONGEST_REASON,
        help_text="Shown with the silence, in Alertmanager and in the history.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    alert = forms.IntegerField(required=False, min_value=1, max_value=2**62, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `create` would raise, before the operator is asked to confirm."""
        data = self.cleaned_data
        if not self.errors:
            starts_at = max(data["starts_at"] or timezone.now(), timezone.now())
            self.adding_errors(
                lambda: services.checked(self.found, data["reason"], starts_at, self.end_from(starts_at))
            )
        return data

    def end_from(self, starts_at: datetime) -> datetime:
        return starts_at + timedelta(minutes=int(self.cleaned_data["lasts"]))

    def save(self, actor: AbstractBaseUser) -> Silence | None:
        data = self.cleaned_data
        starts_at = max(data["starts_at"] or timezone.now(), timezone.now())
        silence: Silence | None = self.adding_errors(
            lambda: services.create(
                actor=actor,
                matchers=self.found,
                reason=data["reason"],
                starts_at=starts_at,
                ends_at=self.end_from(starts_at),
                episode_id=data["alert"],
            )
        )
        return silence


class EndForm(ServiceForm):
    """Another end, counted from now."""

    lasts = forms.ChoiceField(choices=choices)

    def ends_at(self) -> datetime:
        return timezone.now() + timedelta(minutes=int(self.cleaned_data["lasts"]))
