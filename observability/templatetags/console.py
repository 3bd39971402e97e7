"""The words of `observability.words`, for templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from observability import words
from observability.models import Attempt, Delivery, Episode, Receipt

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str | SafeString:
    return words.time_tag(moment, words.ago(moment)) if moment else ""


@register.filter
def age(moment: datetime) -> SafeString:
    return words.time_tag(moment, words.duration(timezone.now() - moment))


@register.filter
def clock(moment: datetime | None) -> str | SafeString:
    return words.time_tag(moment, words.clock(moment, seconds=True)) if moment else ""


@register.filter
def lasted(episode: Episode) -> str:
    """How long an alert fired."""
    ended = episode.ends_at or episode.resolved_at
    return words.duration(ended - episode.starts_at) if ended else ""


@register.filter
def standing(row: Any) -> SafeString:
    """The coloured word for an alert, a delivery, an attempt or a receipt."""
    match row:
        case Episode():
            return words.mark(*words.episode_mark(row))
        case Delivery():
            return words.mark(*words.STATE_MARKS[Delivery.State(row.state)])
        case Attempt():
            return words.mark(*words.ATTEMPT_MARKS[row.outcome])
        case Receipt():
            return words.mark(*words.OUTCOME_MARKS[Receipt.Outcome(row.outcome)])
    raise TypeError(f"{type(row).__name__} has no standing")


@register.filter
def not_confirmed_since(episode: Episode) -> datetime | None:
    return words.not_confirmed_since(episode)


@register.filter
def why_not_notified(episode: Episode) -> SafeString:
    return words.why_not_notified(episode)


@register.filter
def severity(name: str) -> SafeString:
    return words.severity_mark(name)


@register.filter
def channel(name: str) -> str:
    return words.channel_label(name)
