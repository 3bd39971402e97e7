"""State machines: the transitions are a table, and each step appends an event row that says who did it.

The table decides what is allowed. Pages draw their buttons from it, tests iterate over it, documents show it.
How an app uses it (kyc/cases/states.py and transitions.py are a whole example):

    TRANSITIONS = TransitionTable(State, allow(State.FUNDED, Event.RELEASE, State.RELEASED, Who.BUYER))
    class MilestoneEvent(StateEvent): ...  # a foreign key to the milestone, and the columns of its own
    milestone = Milestone.objects.select_for_update().get(pk=milestone_id)
    by = By(Who.BUYER, user.pk)
    step = TRANSITIONS.allowed(milestone.state, Event.RELEASE, by)  # None: refuse
    move(milestone, step, by, {}, milestone.events)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from core.encryption import decrypt
from core.errors import CannotDecrypt
from core.request_id import current_request_id

UNREADABLE = "(This text cannot be decrypted: its key is missing in ENCRYPTION_KEYS.)"

S = TypeVar("S", bound=str)  # the app's states, a TextChoices
E = TypeVar("E", bound=StrEnum)  # its events
W = TypeVar("W", bound=StrEnum)  # the roles in which an actor causes a step


class Transition(NamedTuple, Generic[S, E, W]):
    source: S
    event: E
    target: S
    who: frozenset[W]


def allow(source: S, event: E, target: S, *who: W) -> Transition[S, E, W]:  # pragma: no mutate block (import)
    """Returns a row of the table: each of `who` may cause `event` in `source`, which leads to `target`."""
    return Transition(source, event, target, frozenset(who))


class TransitionTable(Generic[S, E, W]):
    # mutmut cannot change what runs while modules are imported, as `allow` and this do.
    def __init__(self, states: type[S], *transitions: Transition[S, E, W]) -> None:  # pragma: no mutate block
        """Raises ValueError when two transitions have the same state and event."""
        self.states = states
        self.rows = transitions
        self._by_state_and_event = {(row.source, row.event): row for row in transitions}
        if len(self._by_state_and_event) < len(transitions):
            raise ValueError("Two transitions begin in the same state with the same event.")

    def find(self, source: str, event: E) -> Transition[S, E, W] | None:
        """Returns the transition that `event` causes in `source`; None when the table has none."""
        return self._by_state_and_event.get((self.states(source), event))

    def allowed(self, source: str, event: E, by: By) -> Transition[S, E, W] | None:
        """Returns the transition if the table has it for the part in which `by` acts; None: refuse."""
        found = self.find(source, event)
        return found if found is not None and by.who in found.who else None

    def events_for(self, source: str, who: W) -> list[E]:
        """Returns what `who` may cause in that state, in the table's order."""
        return [row.event for row in self.rows if row.source == source and who in row.who]

    def diagram(self, initial: S) -> str:
        """Returns the table as a Mermaid diagram. Steps between the same two states share an arrow."""
        arrows: dict[tuple[S, S], list[str]] = {}
        for row in self.rows:
            who = ", ".join(sorted(row.who))
            arrows.setdefault((row.source, row.target), []).append(f"{row.event.replace('_', ' ')} ({who})")
        lines = [
            f"    {source} --> {target}: {', '.join(steps)}" for (source, target), steps in arrows.items()
        ]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {initial}", *lines])


class By(NamedTuple):
    """Who causes a step, and in which part: a user, a provider, or Amani itself (neither of them)."""

    who: StrEnum
    actor_id: int | None = None
    provider: str = ""


class StateEvent(models.Model):
    """One step in the life of a row. The subclass adds the foreign key, its choices, and a trigger:

    `pgtrigger.Protect(name=..., operation=pgtrigger.Update | pgtrigger.Delete)` makes it append-only. So it
    has no text that a person wrote or that is about a person: that is an EventText, which can be deleted.
    """

    at = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=16)
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: Amani itself, or the provider.",
    )
    provider = models.CharField(max_length=16, blank=True, help_text="The provider that caused it.")
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True
        default_permissions = ("view",)
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.event} at {self.at:%Y-%m-%d %H:%M:%S}"


class EventText(models.Model):
    """What was written about a StateEvent, encrypted, in a row that can be deleted.

    The subclass adds `event`, a OneToOneField to the event.
    """

    encrypted = models.BinaryField(help_text="By core/encryption.py.")

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return f"Text of event {self.pk}"

    @property
    def text(self) -> str:
        """Returns the text, or a sentence that it cannot be read, for example because a key is missing."""
        try:
            return decrypt(bytes(self.encrypted)).decode()
        except CannotDecrypt:
            return UNREADABLE


def move(
    row: Any,
    transition: Transition[S, E, W],
    by: By,
    changed: Mapping[str, Any],
    events: Any,
    **event_fields: Any,
) -> Any:
    """Sets the state, `version + 1` and `changed` on `row`, saves only these, and appends to `events`.

    `row` is locked by the caller, in whose transaction this happens. `events`: the related manager of its
    StateEvents. `event_fields`: columns of the subclass. Returns the new event.
    """
    before = row.state
    fields = {**changed, "state": transition.target, "version": row.version + 1}
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=fields)
    return events.create(
        event=transition.event,
        from_state=before,
        to_state=row.state,
        actor_id=by.actor_id,
        provider=by.provider,
        request_id=current_request_id(),
        **event_fields,
    )
