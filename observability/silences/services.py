"""Creates, extends and expires silences: each one transaction, with its event, that rings for the worker."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.console import display
from core.doorbell import Doorbell
from core.request_id import current_request_id
from observability.models import EpisodeEvent, Silence, SilenceEvent
from observability.silences.errors import BadSilence, CannotChangeSilence
from observability.silences.matchers import Matcher, as_text, check, from_api, to_api

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

LONGEST_REASON = 2_000
SHORTEST = timedelta(minutes=1)
SOONEST_CHANGE = timedelta(seconds=1)

State = Silence.State
Kind = SilenceEvent.Kind
# A ring that is lost costs five seconds, until beat's next sweep.
doorbell = Doorbell("observability.tasks.apply_silences")


@transaction.atomic
def create(
    *,
    actor: AbstractBaseUser,
    matchers: list[Matcher],
    reason: str,
    ends_at: datetime,
    starts_at: datetime | None = None,
    episode_id: int | None = None,
) -> Silence:
    """Stores the wish for a silence by `actor`, its owner; the worker sets it in Alertmanager.

    `starts_at`: now unless given. `episode_id`: the alert whose timeline tells of it. Returns the silence.
    Raises BadMatchers, or BadSilence for a missing reason, an end that is too near or too far, or no
    Alertmanager.
    """
    now = timezone.now()
    starts_at = max(starts_at or now, now)
    checked(matchers, reason, starts_at, ends_at)
    silence = Silence.objects.create(
        matchers=to_api(matchers),
        reason=reason.strip(),
        owner_id=actor.pk,
        created_by=name_of(actor),
        starts_at=starts_at,
        ends_at=ends_at,
        episode_id=episode_id,
    )
    text = f"Until {display.clock(ends_at)} UTC: {silence.reason}"
    append(silence, Kind.CREATED, actor, text)
    tell()
    return silence


@transaction.atomic
def extend(*, silence_id: int, actor: AbstractBaseUser, ends_at: datetime, reason: str) -> Silence:
    """Stores another end, later or earlier, that still lies ahead. Returns the silence.

    Raises BadSilence like `create`, CannotChangeSilence, Silence.DoesNotExist.
    """
    silence = locked(silence_id)
    refuse_unless_it_runs(silence)
    check_reason(reason)
    check_end(max(silence.starts_at, timezone.now()), ends_at)
    text = f"From {display.clock(silence.ends_at)} to {display.clock(ends_at)} UTC: {reason.strip()}"
    silence.ends_at, silence.reminded_at = ends_at, None
    silence.state = State.WANTED
    want(silence, ["ends_at", "state", "reminded_at"])
    append(silence, Kind.EXTENDED, actor, text)
    tell()
    return silence


@transaction.atomic
def expire(*, silence_id: int, actor: AbstractBaseUser, reason: str) -> Silence:
    """Stores that the silence is to end now. Returns it.

    Raises BadSilence without a reason, CannotChangeSilence, Silence.DoesNotExist.
    """
    silence = locked(silence_id)
    refuse_unless_it_runs(silence)
    check_reason(reason)
    end_now(silence, actor, reason)
    return silence


def end_now(silence: Silence, actor: AbstractBaseUser, reason: str) -> None:
    """Stores in the caller's transaction that a locked silence is to end."""
    silence.state = State.ENDING
    want(silence, ["state"])
    append(silence, Kind.EXPIRE, actor, reason.strip())
    tell()


# --- What is refused ---


def checked(matchers: list[Matcher], reason: str, starts_at: datetime, ends_at: datetime) -> None:
    """Raises what `create` raises."""
    if not settings.ALERTMANAGER_URL:
        raise BadSilence("matchers", "Amani has no Alertmanager to ask: set ALERTMANAGER_URL.")
    check(matchers)
    check_reason(reason)
    check_end(starts_at, ends_at)


def check_reason(reason: str) -> None:
    if not reason.strip():
        raise BadSilence("reason", "Say why: the reason stays with the silence and in the history.")
    if len(reason) > LONGEST_REASON:
        raise BadSilence("reason", f"Use at most {LONGEST_REASON:,} characters.")


def check_end(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at < starts_at + SHORTEST:
        raise BadSilence("ends_at", "Choose an end at least a minute after the start and after now.")
    if ends_at > starts_at + timedelta(days=settings.SILENCE_MAX_DAYS):
        raise BadSilence(
            "ends_at",
            f"Choose an end within {settings.SILENCE_MAX_DAYS} days (SILENCE_MAX_DAYS). It can be extended.",
        )


def refuse_unless_it_runs(silence: Silence) -> None:
    if silence.is_foreign:
        raise CannotChangeSilence(silence.pk, "it was made outside of Amani; use amtool")
    if silence.state not in (State.WANTED, State.ACTIVE):
        raise CannotChangeSilence(silence.pk, f"it is {silence.get_state_display()}")
    if silence.ends_at <= timezone.now():
        raise CannotChangeSilence(silence.pk, "it has ended")


# --- How it is stored ---


def name_of(actor: AbstractBaseUser) -> str:
    """Returns the author as Alertmanager shows it."""
    full_name = getattr(actor, "get_full_name", str)()
    return str(full_name or actor.get_username())


def locked(silence_id: int) -> Silence:
    return Silence.objects.select_for_update(of=("self",)).get(pk=silence_id)


def want(silence: Silence, changed: list[str]) -> None:
    """Saves `changed` and makes the row due. A worker that has it keeps its lease and makes it due again."""
    silence.wanted_at = silence.next_attempt_at = timezone.now()
    silence.last_error = ""
    silence.save(update_fields=[*changed, "wanted_at", "next_attempt_at", "last_error"])


def append(silence: Silence, kind: Kind, actor: AbstractBaseUser | None = None, text: str = "") -> None:
    """Adds an event to the history of the silence; an operator's also to the timeline of its alert."""
    SilenceEvent.objects.create(
        silence=silence,
        kind=kind,
        actor_id=actor.pk if actor else None,
        text=text,
        request_id=current_request_id(),
    )
    if actor is not None and silence.episode_id is not None:
        EpisodeEvent.objects.create(
            episode_id=silence.episode_id,
            kind=EpisodeEvent.Kind.SILENCE,
            actor_id=actor.pk,
            text=f"Silence {silence.pk} {WORDS[kind]}. {text}",
            request_id=current_request_id(),
        )


WORDS = {Kind.CREATED: "was created", Kind.EXTENDED: "has another end", Kind.EXPIRE: "is to be expired"}


def tell() -> None:
    """Wakes the worker when the caller's transaction has committed."""
    transaction.on_commit(doorbell.ring)


def matchers_of(silence: Silence) -> list[Matcher]:
    return from_api(silence.matchers)


def text_of(silence: Silence) -> str:
    """Returns the matchers of the silence, one a line."""
    return as_text(matchers_of(silence))
