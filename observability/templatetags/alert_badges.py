"""Defines the template filters for the badges of alerts, deliveries, attempts and receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from core.console import display
from observability.alerts import badges
from observability.models import Attempt, Delivery, Episode, Receipt

register = template.Library()


@register.filter
def lasted(episode: Episode) -> str:
    """Returns how long an alert fired; "" while it still does."""
    ended = episode.ends_at or episode.resolved_at
    return display.duration(ended - episode.starts_at) if ended else ""


@register.filter
def badge(row: Any) -> SafeString:
    """Returns the HTML of the badge of an alert, a delivery, an attempt or a receipt."""
    match row:
        case Episode():
            return display.badge(*badges.episode_badge(row))
        case Delivery():
            return display.badge(*badges.STATE_BADGES[Delivery.State(row.state)])
        case Attempt():
            return display.badge(*badges.ATTEMPT_BADGES[row.outcome])
        case Receipt():
            return display.badge(*badges.OUTCOME_BADGES[Receipt.Outcome(row.outcome)])
    raise TypeError(f"{type(row).__name__} has no badge")


@register.filter
def silenced(episode: Episode) -> SafeString:
    return badges.silenced_badge(episode)


@register.filter
def not_confirmed_since(episode: Episode) -> datetime | None:
    return badges.not_confirmed_since(episode)


@register.filter
def why_not_notified(episode: Episode) -> SafeString:
    return badges.why_not_notified(episode)


@register.filter
def severity(name: str) -> SafeString:
    return badges.severity_badge(name)


@register.filter
def channel(name: str) -> str:
    return badges.channel_label(name)
