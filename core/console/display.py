"""Formats durations, times and badges for the console. A colour never comes without a word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

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


def seconds(amount: float) -> str:
    """`1.84 s`, `42 ms`, `0.3 ms`: as exact as somebody comparing two of them needs it."""
    if amount >= 1:
        return f"{amount:.2f} s"
    milliseconds = amount * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def short(text: str, longest: int = 140) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
