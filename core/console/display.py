"""Formats durations, times and badges for the admin pages. A badge has a text beside its colour, always."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Badge:
    """The state of one thing, for display. `tone` is a CSS class, `icon` the name of a Material symbol."""

    tone: str
    icon: str
    text: str
    detail: str = ""


def duration(span: timedelta) -> str:
    """Returns `span` as text in its two largest units, `3 h 12 min`. Fractions of a second are dropped."""
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
    """Returns the distance from `now` (default: the current time) as text: `5 min ago`, `in 20 s`, `now`."""
    span = (now or timezone.now()) - moment
    if abs(span) < timedelta(seconds=1):
        return "now"
    return f"{duration(span)} ago" if span > timedelta(0) else f"in {duration(-span)}"


def clock(moment: datetime, *, seconds: bool = False) -> str:
    """Returns the time of day, with the date unless it is today: `02:14`, `23 Nov 02:14`. Always in UTC."""
    local = timezone.localtime(moment)
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    if local.date() == timezone.localdate():
        return time
    is_this_year = local.year == timezone.localdate().year
    return f"{local.day} {local:%b} {time}" if is_this_year else f"{local:%Y-%m-%d} {time}"


def time_tag(moment: datetime, text: str) -> SafeString:
    """Returns `text` as a <time> element, with the exact time as its tooltip."""
    stamp = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        stamp.isoformat(timespec="seconds"),
        f"{stamp:%Y-%m-%d %H:%M:%S}",
        text,
    )


def badge(tone: str, icon: str, text: str) -> SafeString:
    """Returns the HTML of a badge: coloured text with its symbol. The arguments are the fields of `Badge`."""
    return format_html(
        '<span class="am-mark am-{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        icon,
        text,
    )


def seconds(amount: float) -> str:
    """Returns `amount` (in seconds) as text, exact enough for a comparison: `1.84 s`, `42 ms`, `0.3 ms`."""
    if amount >= 1:
        return f"{amount:.2f} s"
    milliseconds = amount * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def short(text: str, longest: int = 140) -> str:
    """Returns `text`, cut off with an ellipsis when it has more than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def first_pairs(
    pairs: Iterable[tuple[str, str]], *, most: int = 100, characters: int = 50_000
) -> tuple[list[tuple[str, str]], int]:
    """Returns the first `most` pairs of texts, and how many are left out.

    Together they have at most `characters`: a name gets up to a tenth of what is left, its text all of it.
    """
    shown: list[tuple[str, str]] = []
    left_out = 0
    for name, text in pairs:
        if len(shown) == most or characters < most:
            left_out += 1
            continue
        pair = (short(name, characters // 10), short(text, characters - len(name[: characters // 10])))
        shown.append(pair)
        characters -= len(pair[0]) + len(pair[1])
    return shown, left_out
