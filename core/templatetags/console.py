"""Defines the template filters for durations and times."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from core.console import display

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str | SafeString:
    """Returns how long ago `moment` was, or how far ahead it is."""
    return display.time_tag(moment, display.ago(moment)) if moment else ""


@register.filter
def age(moment: datetime) -> SafeString:
    """Returns the time since `moment` without the word "ago"."""
    return display.time_tag(moment, display.duration(timezone.now() - moment))


@register.filter
def clock(moment: datetime | None) -> str | SafeString:
    """Returns the time of day in UTC, with the date unless it is today."""
    return display.time_tag(moment, display.clock(moment, seconds=True)) if moment else ""
