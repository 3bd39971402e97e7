"""Short texts for the lists and pages of alerts: state, severity, and why nobody was notified."""

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
STATUS_MARKS = {
    Episode.Status.FIRING: ("firing", "local_fire_department", "Firing"),
    Episode.Status.RESOLVED: ("good", "check_circle", "Resolved"),
    Episode.Status.NOTICE: ("quiet", "campaign", "Notice"),
}
END_NOT_CONFIRMED = ("warning", "help", "End not confirmed")
OUTCOME_MARKS = {
    Receipt.Outcome.STORED: ("good", "check_circle", "Stored"),
    Receipt.Outcome.PARTIAL: ("warning", "rule", "Some set aside"),
    Receipt.Outcome.FAILED: ("bad", "error", "Not understood"),
}
STATE_MARKS = {
    Delivery.State.PENDING: ("waiting", "schedule", "Waiting"),
    Delivery.State.SENDING: ("waiting", "send", "Sending"),
    Delivery.State.DIGESTED: ("waiting", "stacks", "Waiting in a digest"),
    Delivery.State.DELIVERED: ("good", "check_circle", "Delivered"),
    Delivery.State.SUPERSEDED: ("quiet", "do_not_disturb_on", "Not needed any more"),
    Delivery.State.FAILED: ("bad", "error", "Failed"),
    Delivery.State.DEAD: ("bad", "dangerous", "Given up"),
    Delivery.State.OFF: ("quiet", "notifications_off", "Channel is off"),
}
ATTEMPT_MARKS = {
    "delivered": ("good", "check_circle", "Delivered"),
    "retry": ("waiting", "replay", "To be retried"),
    "rejected": ("bad", "error", "Refused"),
    "unknown": ("warning", "help", "May have arrived"),
}


def episode_mark(episode: Episode) -> tuple[str, str, str]:
    """Tone, icon and word for how an alert stands."""
    if episode.unconfirmed_at:
        return END_NOT_CONFIRMED
    return STATUS_MARKS[Episode.Status(episode.status)]


def not_confirmed_since(episode: Episode) -> datetime | None:
    """When a sender last mentioned an alert that fires, if that is too long ago to believe it."""
    fires = episode.status == Episode.Status.FIRING and episode.source == Episode.Source.ALERTMANAGER
    is_late = episode.confirmed_at < trust.unmentioned_before(timezone.now())
    return episode.confirmed_at if fires and is_late and not episode.unconfirmed_at else None


def severity_mark(severity: str) -> SafeString:
    return format_html(
        '<span class="am-severity am-severity-{}">{}</span>', SEVERITY_TONES.get(severity, "info"), severity
    )


UNKNOWN_SEVERITY_MARK = display.mark("warning", "help", "Severity unknown")
NOT_CONFIRMED_MARK = display.mark("warning", "help", "Not confirmed")


def why_not_notified(episode: Episode) -> SafeString:
    """A few words for lists, about an alert without deliveries."""
    match episode.not_notified:
        case Episode.NotNotified.SEVERITY_NOT_ROUTED:
            why = f"Nobody notified: {episode.severity} goes to no channel"
        case Episode.NotNotified.SENDER_NOTIFIES:
            why = "Alertmanager notifies by itself"
        case Episode.NotNotified.NO_CHANNEL:
            why = "Nobody notified: no channel is set up"
        case _:  # stored before there was a reason
            why = "History only"
    return format_html(
        '<span class="am-told-line"><span class="material-symbols-outlined am-ink-quiet" aria-hidden="true">'
        'notifications_off</span><span class="am-detail">{}</span></span>',
        why,
    )


def why_nobody(episode: Episode, deliveries: list[Delivery]) -> str:
    """A sentence for the alert's page; "" when there are deliveries to look at."""
    pages = [delivery for delivery in deliveries if delivery.kind == Delivery.Kind.TRIGGER]
    if pages and all(page.state == Delivery.State.OFF for page in pages):
        return "Nobody was notified: every channel that it was meant for was off."
    if deliveries:
        return ""
    match episode.not_notified:
        case Episode.NotNotified.SEVERITY_NOT_ROUTED:
            return (
                f"Nobody was notified: ALERT_ROUTES had no channel for {episode.severity} alerts when it was "
                "stored. It is kept here only."
            )
        case Episode.NotNotified.SENDER_NOTIFIES:
            return (
                'Amani notified nobody: the label notified_by="alertmanager" says that Alertmanager notifies '
                "Slack and PagerDuty by itself."
            )
        case Episode.NotNotified.NO_CHANNEL:
            return "Nobody was notified: no channel was set up except the one that it is about."
    return "Nobody was notified: its severity went to no channel, or its sender notifies by itself."


def channel_label(channel: str) -> str:
    notifier = registry.NOTIFIERS.get(channel)
    return notifier.label if notifier else channel


def standing_of(delivery: Delivery) -> display.Standing:
    """How a delivery stands, and why or until when."""
    tone, icon, text = STATE_MARKS.get(Delivery.State(delivery.state), ("quiet", "help", delivery.state))
    return display.Standing(tone, icon, text, detail_of(delivery))


def detail_of(delivery: Delivery) -> str:
    state = delivery.state
    if state == Delivery.State.DELIVERED and delivery.finished_at:
        return f"at {display.clock(delivery.finished_at)}"
    if state == Delivery.State.PENDING and delivery.attempt_count:
        nth = f"attempt {delivery.attempt_count + 1} {display.ago(delivery.next_attempt_at)}"
        return f"{nth}: {delivery.reason}" if delivery.reason else nth
    return delivery.reason
