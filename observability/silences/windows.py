"""Recurring silences: each occurrence of a window becomes one silence, a day before it begins.

Times are on the clock of an IANA time zone. An occurrence begins the first time that the clock shows its
beginning, and ends the last time that it shows its end. A time that the clock skips is taken to be the moment
at which it jumps; a window that lies in the skipped hour has no occurrence on that day (ADR 0029).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.console import display
from observability.models import Silence, SilenceWindow
from observability.silences.errors import BadSilence, CannotChangeSilence
from observability.silences.matchers import Matcher, check, to_api
from observability.silences.services import Kind, append, check_reason, end_now, name_of, tell

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

AHEAD = timedelta(hours=24)  # so that Alertmanager has it also when Amani is away as it begins
LONGEST_DAYS = 366
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Occurrence(NamedTuple):
    """`day`: on which it begins, on the clock of the window."""

    day: date
    starts_at: datetime
    ends_at: datetime

    @property
    def lasts(self) -> timedelta:
        return self.ends_at - self.starts_at


# --- When ---


def occurrences(window: SilenceWindow, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """Yields the occurrences that end after `since` and begin before `until`, in order."""
    zone = ZoneInfo(window.time_zone)
    day = max(since.astimezone(zone).date() - 2 * DAY, window.first_on)
    last = min(until.astimezone(zone).date(), window.last_on)
    while day <= last:
        found = occurrence_of(window, day, zone)
        if found and found.ends_at > since and found.starts_at < until:
            yield found
        day += DAY


def occurrence_of(window: SilenceWindow, day: date, zone: ZoneInfo) -> Occurrence | None:
    """Returns the occurrence that begins on `day`; None when there is none, or the clock skips all of it."""
    if day.weekday() not in window.weekdays:
        return None
    end_day = day if window.ends > window.begins else day + DAY
    starts_at = moment_of(day, window.begins, zone, last=False)
    ends_at = moment_of(end_day, window.ends, zone, last=True)
    return Occurrence(day, starts_at, ends_at) if ends_at > starts_at else None


def moment_of(day: date, at: time, zone: ZoneInfo, *, last: bool) -> datetime:
    """Returns the first or `last` moment at which the clock shows this time; the jump, if it never does."""
    shown = datetime.combine(day, at)
    moment = shown.replace(tzinfo=zone, fold=int(last)).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == shown:
        return moment
    # In a gap the two readings lie around the jump (PEP 495).
    before, after = sorted(shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    offset = before.astimezone(zone).utcoffset()
    while after - before > SECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


# --- Plan ---


def plan(now: datetime) -> int:
    """Creates the silences of the occurrences that run or begin within AHEAD. Returns how many are new.

    Any number of workers may do so at once: the database allows one silence for each occurrence.
    """
    if not settings.ALERTMANAGER_URL:
        return 0
    in_force = SilenceWindow.objects.filter(ended_at=None, last_on__gte=now.date() - 2 * DAY)
    windows = list(in_force.select_related("owner").order_by("pk"))
    known = set(
        Silence.objects.filter(window__in=windows, occurrence_on__gte=now.date() - 4 * DAY).values_list(
            "window_id", "occurrence_on"
        )
    )
    return sum(
        create_silence(window.pk, occurrence)
        for window in windows
        for occurrence in occurrences(window, now, now + AHEAD)
        if (window.pk, occurrence.day) not in known
    )


@transaction.atomic
def create_silence(window_id: int, occurrence: Occurrence) -> bool:
    """Creates the silence of one occurrence, unless there is one or the window was ended. Whether it did."""
    window = SilenceWindow.objects.select_for_update(of=("self",)).select_related("owner").get(pk=window_id)
    if window.ended_at is not None:
        return False
    silence, is_new = Silence.objects.get_or_create(
        window=window,
        occurrence_on=occurrence.day,
        defaults={
            "matchers": window.matchers,
            "reason": window.reason,
            "owner": window.owner,
            "created_by": name_of(window.owner),
            "starts_at": occurrence.starts_at,
            "ends_at": occurrence.ends_at,
        },
    )
    if is_new:
        append(silence, Kind.CREATED, None, f"For {occurrence.day:%Y-%m-%d} of {window}.")
        tell()
    return is_new


# --- Create and end ---


@transaction.atomic
def create(
    *,
    actor: AbstractBaseUser,
    matchers: list[Matcher],
    reason: str,
    time_zone: str,
    weekdays: list[int],
    begins: time,
    ends: time,
    first_on: date,
    last_on: date,
) -> SilenceWindow:
    """Stores a window of `actor`, its owner. Returns it. Raises what `checked` raises."""
    window = SilenceWindow(
        matchers=to_api(matchers),
        reason=reason.strip(),
        owner_id=actor.pk,
        time_zone=time_zone,
        weekdays=sorted(set(weekdays)),
        begins=begins,
        ends=ends,
        first_on=first_on,
        last_on=last_on,
    )
    checked(window, matchers)
    window.save()
    return window


def checked(window: SilenceWindow, matchers: list[Matcher]) -> None:
    """Raises BadMatchers, or BadSilence for a field that cannot be or a window without an occurrence."""
    if not settings.ALERTMANAGER_URL:
        raise BadSilence("matchers", "Amani has no Alertmanager to ask: set ALERTMANAGER_URL.")
    check(matchers)
    check_reason(window.reason)
    if window.time_zone not in available_timezones():
        raise BadSilence("time_zone", "Use the name of an IANA time zone, for example Africa/Lagos.")
    if not window.weekdays or not set(window.weekdays) <= set(range(7)):
        raise BadSilence("weekdays", "Choose at least one day of the week.")
    if not window.first_on <= window.last_on <= window.first_on + LONGEST_DAYS * DAY:
        raise BadSilence("last_on", f"Choose a last day within {LONGEST_DAYS} days of the first.")
    if next(upcoming(window), None) is None:
        raise BadSilence("last_on", "It would never begin: no such day lies ahead.")


def upcoming(window: SilenceWindow) -> Iterator[Occurrence]:
    """Yields the occurrences that have not ended, in order."""
    until = datetime.combine(window.last_on, time(), UTC) + 2 * DAY
    return occurrences(window, timezone.now(), until)


@transaction.atomic
def end(*, window_id: int, actor: AbstractBaseUser, reason: str) -> SilenceWindow:
    """Ends the window, and expires the silences of it that wait or run. Returns it.

    Raises BadSilence without a reason, CannotChangeSilence for one that was ended, DoesNotExist.
    """
    window = SilenceWindow.objects.select_for_update(of=("self",)).get(pk=window_id)
    check_reason(reason)
    if window.ended_at is not None:
        raise CannotChangeSilence(window.pk, f"it was ended {display.ago(window.ended_at)}")
    window.ended_at, window.ended_by_id, window.ended_reason = timezone.now(), actor.pk, reason.strip()
    window.save(update_fields=["ended_at", "ended_by", "ended_reason"])
    running = window.silences.filter(state__in=[Silence.State.WANTED, Silence.State.ACTIVE])
    for silence in running.select_for_update(of=("self",)).order_by("pk"):
        end_now(silence, actor, f"{window} was ended: {reason.strip()}")
    return window
