"""Defines the template filters for durations and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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


@register.filter
def day(moment: datetime) -> SafeString:
    """Formats a time in UTC, for example `1 Jan 2024`; adds the time of day unless it is midnight."""
    moment = moment.astimezone(UTC)
    time = "" if (moment.hour, moment.minute) == (0, 0) else f", {moment:%H:%M}"
    return display.time_tag(moment, f"{moment.day} {moment:%b %Y}{time}")


@register.filter
def duration(span: timedelta) -> str:
    """Returns a length of time in its two largest units."""
    return display.duration(span)
