"""Defines the badges and short texts on pages of alerts: state, severity, and why no notification was
sent."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from observability.alerts import trust
from observability.models import Delivery, Episode, Receipt
from observability.notifiers import registry

SEVERITY_TONES = {"critical": "critical", "error": "error", "warning": "warning", "info": "info"}
STATUS_BADGES = {
    Episode.Status.FIRING: ("firing", "local_fire_department", "Firing"),
    Episode.Status.RESOLVED: ("good", "check_circle", "Resolved"),
    Episode.Status.SILENCED: ("quiet", "notifications_paused", "Silenced"),
    Episode.Status.NOTICE: ("quiet", "campaign", "Notice"),
}
END_NOT_CONFIRMED = ("warning", "help", "End not confirmed")
NOT_SEEN_TO_RECOVER = ("warning", "help", "Ended, not seen to recover")
OUTCOME_BADGES = {
    Receipt.Outcome.STORED: ("good", "check_circle", "Stored"),
    Receipt.Outcome.PARTIAL: ("warning", "rule", "Some set aside"),
    Receipt.Outcome.FAILED: ("bad", "error", "Could not be read"),
}
STATE_BADGES = {
    Delivery.State.PENDING: ("waiting", "schedule", "Waiting"),
    Delivery.State.SENDING: ("waiting", "send", "Sending"),
    Delivery.State.DIGESTED: ("waiting", "stacks", "Waiting in a digest"),
    Delivery.State.DELIVERED: ("good", "check_circle", "Delivered"),
    Delivery.State.SUPERSEDED: ("quiet", "do_not_disturb_on", "No longer needed"),
    Delivery.State.FAILED: ("bad", "error", "Failed"),
    Delivery.State.DEAD: ("bad", "dangerous", "Given up"),
    Delivery.State.OFF: ("quiet", "notifications_off", "Channel is off"),
}
ATTEMPT_BADGES = {
    "delivered": ("good", "check_circle", "Delivered"),
    "retry": ("waiting", "replay", "To be retried"),
    "rejected": ("bad", "error", "Rejected"),
    "unknown": ("warning", "help", "May have arrived"),
}


def episode_badge(episode: Episode) -> tuple[str, str, str]:
    """Returns tone, icon and text for the status of an alert."""
    if episode.unconfirmed_at:
        return END_NOT_CONFIRMED
    if episode.status == Episode.Status.RESOLVED and not episode.recovered:
        return NOT_SEEN_TO_RECOVER
    return STATUS_BADGES[Episode.Status(episode.status)]


def not_confirmed_since(episode: Episode) -> datetime | None:
    """Returns when a sender last mentioned a firing alert if that is too long ago to be sure of it; else
    None."""
    fires = episode.status == Episode.Status.FIRING and episode.source == Episode.Source.ALERTMANAGER
    is_late = episode.confirmed_at < trust.unmentioned_before(timezone.now())
    return episode.confirmed_at if fires and is_late and not episode.unconfirmed_at else None


def silenced_badge(episode: Episode) -> SafeString:
    """Returns the badge of an alert that Alertmanager silences or silenced, beside that of its status."""
    if episode.silenced_at is None or episode.status == Episode.Status.SILENCED:
        return SafeString()
    return WAS_SILENCED_BADGE if episode.unsilenced_at else SILENCED_BADGE


def severity_badge(severity: str) -> SafeString:
    """Returns the HTML of the badge for a severity."""
    return format_html(
        '<span class="am-severity am-severity-{}">{}</span>', SEVERITY_TONES.get(severity, "info"), severity
    )


UNKNOWN_SEVERITY_BADGE = display.badge("warning", "help", "Severity unknown")
SILENCED_BADGE = display.badge("quiet", "notifications_paused", "Silenced")
WAS_SILENCED_BADGE = display.badge("quiet", "notifications_paused", "Was silenced")
NOT_CONFIRMED_BADGE = display.badge("warning", "help", "Not confirmed")


def why_not_notified(episode: Episode) -> SafeString:
    """Returns the reason, in a few words for lists, why an alert has no deliveries."""
    match episode.not_notified:
        case Episode.NotNotified.SEVERITY_NOT_ROUTED:
            why = f"Not notified: {episode.severity} has no channel"
        case Episode.NotNotified.SENDER_NOTIFIES:
            why = "Notified by Alertmanager itself"
        case Episode.NotNotified.NO_CHANNEL:
            why = "Not notified: no channel is configured"
        case Episode.NotNotified.ROUTE_SAYS_NONE:
            why = "Not notified: its route notifies nobody"
        case Episode.NotNotified.SILENCED:
            why = "Not notified: silenced in Alertmanager"
        case _:  # stored by a version that did not record the reason
            why = "History only"
    return format_html(
        '<span class="am-notified-line">'
        '<span class="material-symbols-outlined am-ink-quiet" aria-hidden="true">'
        'notifications_off</span><span class="am-detail">{}</span></span>',
        why,
    )


def explain_not_notified(episode: Episode, deliveries: list[Delivery]) -> str:
    """Returns a sentence for the alert's page that says why no notification was sent; "" if one was
    planned."""
    pages = [delivery for delivery in deliveries if delivery.kind == Delivery.Kind.TRIGGER]
    if pages and all(page.state == Delivery.State.OFF for page in pages):
        return "No notification was sent: every channel of its severity was off."
    if deliveries:
        return ""
    match episode.not_notified:
        case Episode.NotNotified.SEVERITY_NOT_ROUTED:
            return (
                f"No notification was sent: ALERT_ROUTES had no channel for {episode.severity} alerts when "
                "it was stored."
            )
        case Episode.NotNotified.SENDER_NOTIFIES:
            return (
                'Amani sent no notification: the label notified_by="alertmanager" says that Alertmanager '
                "notifies Slack and PagerDuty itself."
            )
        case Episode.NotNotified.NO_CHANNEL:
            return "No notification was sent: no channel was set up for it."
        case Episode.NotNotified.ROUTE_SAYS_NONE:
            return "No notification was sent: a route says that nobody is notified of such alerts."
        case Episode.NotNotified.SILENCED:
            return "No notification was sent: a silence keeps Alertmanager from sending it to Amani."
    return "No notification was sent: its severity had no channel, or Alertmanager notifies itself."


def channel_label(channel: str) -> str:
    """Returns the name of a channel as operators read it; its key when no notifier has it any more."""
    notifier = registry.NOTIFIERS.get(channel)
    return notifier.label if notifier else channel


def delivery_badge(delivery: Delivery) -> display.Badge:
    """Returns the badge for the state of a delivery, with the reason or the next attempt as its detail."""
    tone, icon, text = STATE_BADGES.get(Delivery.State(delivery.state), ("quiet", "help", delivery.state))
    return display.Badge(tone, icon, text, detail_of(delivery))


def detail_of(delivery: Delivery) -> str:
    """Returns when a delivery arrived, when its next attempt is, or why it is in its state."""
    state = delivery.state
    if state == Delivery.State.DELIVERED and delivery.finished_at:
        return f"at {display.clock(delivery.finished_at)}"
    if state == Delivery.State.PENDING and delivery.attempt_count:
        nth = f"attempt {delivery.attempt_count + 1} {display.ago(delivery.next_attempt_at)}"
        return f"{nth}: {delivery.reason}" if delivery.reason else nth
    return delivery.reason
