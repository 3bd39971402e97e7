"""How long, and how it stands: the short words of the lists and pages. Never a colour without a word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

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
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Standing:
    """How one thing stands. `tone` is a CSS class, `icon` a Material symbol."""

    tone: str
    icon: str
    text: str
    detail: str = ""


def duration(span: timedelta) -> str:
    """`3 h 12 min`: the two largest units, nothing below a second."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    for index, (unit, size) in enumerate(UNITS[:-1]):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            next_unit, next_size = UNITS[index + 1]
            smaller = rest // next_size
            exact = f"{count} {unit}"
            return (
                f"{exact} {smaller} {next_unit}" if smaller and (unit, next_unit) != ("min", "s") else exact
            )
    return "0 s"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`5 min ago`, `in 20 s`, `now`."""
    span = (now or timezone.now()) - moment
    if abs(span) < timedelta(seconds=1):
        return "now"
    return f"{duration(span)} ago" if span > timedelta(0) else f"in {duration(-span)}"


def clock(moment: datetime, *, seconds: bool = False) -> str:
    """`02:14` today, `23 Nov 02:14` otherwise; always in UTC, as everywhere in Amani."""
    local = timezone.localtime(moment)
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    if local.date() == timezone.localdate():
        return time
    is_this_year = local.year == timezone.localdate().year
    return f"{local.day} {local:%b} {time}" if is_this_year else f"{local:%Y-%m-%d} {time}"


def time_tag(moment: datetime, text: str) -> SafeString:
    """`text` with the exact time as its tooltip."""
    stamp = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        stamp.isoformat(timespec="seconds"),
        f"{stamp:%Y-%m-%d %H:%M:%S}",
        text,
    )


def mark(tone: str, icon: str, text: str) -> SafeString:
    """A coloured word with its symbol."""
    return format_html(
        '<span class="am-mark am-{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        icon,
        text,
    )


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


UNKNOWN_SEVERITY_MARK = mark("warning", "help", "Severity unknown")
NOT_CONFIRMED_MARK = mark("warning", "help", "Not confirmed")


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


def standing_of(delivery: Delivery) -> Standing:
    """How a delivery stands, and why or until when."""
    tone, icon, text = STATE_MARKS.get(Delivery.State(delivery.state), ("quiet", "help", delivery.state))
    return Standing(tone, icon, text, detail_of(delivery))


def detail_of(delivery: Delivery) -> str:
    state = delivery.state
    if state == Delivery.State.DELIVERED and delivery.finished_at:
        return f"at {clock(delivery.finished_at)}"
    if state == Delivery.State.PENDING and delivery.attempt_count:
        return (
            f"attempt {delivery.attempt_count + 1} {ago(delivery.next_attempt_at)}: {delivery.reason}".rstrip(
                ": "
            )
        )
    return delivery.reason


def seconds(amount: float) -> str:
    """`1.84 s`, `42 ms`, `0.3 ms`: as exact as somebody comparing two of them needs it."""
    if amount >= 1:
        return f"{amount:.2f} s"
    milliseconds = amount * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def short(text: str, longest: int = 140) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
