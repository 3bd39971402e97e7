"""Creates the demo cases by calling the real services, then moves the times of the rows into the past.

The database refuses changes of these times; only here, and only in development, the triggers are disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import pgtrigger
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from kyc import cases, limits, providers
from kyc.cases.states import Event
from kyc.demo.pictures import picture
from kyc.demo.stories import ADAEZE, STORIES, TUNDE, Person, Step, Story
from kyc.document_types import KINDS
from kyc.models import Case, Check, DocumentAccess, LimitKind, NumberAccess, Side

EVIDENCE = (
    "kyc.Case:case_identity_is_fixed",
    "kyc.CaseEvent:case_event_is_append_only",
    "kyc.Document:document_is_evidence",
)
ASKED = "smile_id"
KOBO = 100


class Team(NamedTuple):
    """The operators of the demo."""

    reviewer: User
    approver: User


@transaction.atomic
def seed_cases(team: Team) -> None:
    """Creates the demo cases once. Does nothing if the first demo user exists. Raises RuntimeError
    outside development."""
    if not settings.DEBUG:
        raise RuntimeError("Demo cases exist in development only.")
    if User.objects.filter(email=ADAEZE.email).exists():
        return
    started = timezone.now()
    people: dict[str, User] = {}
    for story in STORIES:
        person = people.get(story.person.email) or create_person(story, started, team.reviewer.password)
        people[person.email] = person
        replay(story, person, team, started)
    seed_limits(people, team)


def create_person(story: Story, now: datetime, password: str) -> User:
    """Creates the user of a story with the operators' password, so that the API can be tried as this user."""
    person: Person = story.person
    joined = now - story.steps[0].ago - timedelta(hours=2)
    user = User.objects.create_user(person.email, date_joined=joined, **person._asdict())
    User.objects.filter(pk=user.pk).update(password=password)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def replay(story: Story, person: User, team: Team, started: datetime) -> None:
    case: Case | None = None
    for step in story.steps:
        case = carry_out(step, story, person, team, case)
        move_back(case, started, started - step.ago)
        if step.event == Event.SUBMIT and story.check[0]:
            record_check(case, story, started)
        if step.event == Event.CLAIM:
            look(case, team.reviewer, started - step.ago)


def carry_out(step: Step, story: Story, person: User, team: Team, case: Case | None) -> Case:
    if case is None:
        return submit(story, person)
    if step.event == Event.WITHDRAW:
        return cases.withdraw(person=person, public_id=case.public_id)
    if step.event == Event.RESUBMIT:
        again = cases.resubmit(person=person, public_id=case.public_id, images=drawn(story))
        return keep_here(again, story)
    return decide(step, case.pk, team)


def decide(step: Step, case_id: int, team: Team) -> Case:
    code, reason = step.reason_code, step.reason
    reviewer = team.reviewer
    match step.event:
        case Event.CLAIM:
            return cases.claim(case_id=case_id, reviewer=reviewer)
        case Event.APPROVE if step.by_provider:
            return cases.decide_by_provider(case_id=case_id, provider=ASKED, approved=True, reason=reason)
        case Event.APPROVE:
            return cases.approve(case_id=case_id, reviewer=reviewer, reason=reason)
        case Event.REJECT:
            return cases.reject(case_id=case_id, reviewer=reviewer, reason_code=code, reason=reason)
        case Event.ASK_FOR_MORE:
            return cases.ask_for_more(case_id=case_id, reviewer=reviewer, reason_code=code, reason=reason)
        case Event.REVOKE:
            return cases.revoke(case_id=case_id, actor=team.approver, reason_code=code, reason=reason)
        case Event.DOUBT:
            return cases.doubt_by_provider(case_id=case_id, provider=ASKED, reason=reason)
        case Event.EXPIRE:
            cases.expire_due()
            return Case.objects.get(pk=case_id)
        case _:
            raise ValueError(f"No story has a step for {step.event}.")


def submit(story: Story, person: User) -> Case:
    case = cases.submit(
        person=person,
        document_type=story.document_type,
        country=story.country,
        number=story.number,
        images=drawn(story),
    )
    return keep_here(case, story)


def keep_here(case: Case, story: Story) -> Case:
    """Cancels the case's checks, so that no provider gets invented data; the story contains its result."""
    providers.cancel_checks(case=case)
    Case.objects.filter(pk=case.pk).update(provider=ASKED if story.check[0] else "manual")
    return case


def drawn(story: Story) -> dict[Side, bytes]:
    words = (story.document_type, story.country, story.person.full_name, story.number)
    return {side: picture(side, *words) for side in KINDS[story.document_type].images}


def record_check(case: Case, story: Story, started: datetime) -> None:
    """Stores the provider's check: created with the case, finished two minutes later or at the story's step
    of the provider."""
    result, text = story.check
    created_at = started - story.steps[0].ago
    decided_at = next((started - step.ago for step in story.steps if step.by_provider), None)
    Check.objects.create(
        case=case,
        provider=ASKED,
        reference=uuid4().hex,
        provider_reference=f"demo-{case.pk}",
        state=Check.State.DONE,
        result=result,
        result_text=text,
        attempt_count=1,
        next_attempt_at=None,
        created_at=created_at,
        finished_at=decided_at or created_at + timedelta(minutes=2),
    )


def look(case: Case, reviewer: User, at: datetime) -> None:
    """Stores the reviewer's accesses to every image, then to the number."""
    moments = seconds_after(at)
    DocumentAccess.objects.bulk_create(
        DocumentAccess(document=document, actor=reviewer, at=next(moments))
        for document in case.documents.filter(replaced_at=None, deleted_at=None)
    )
    NumberAccess.objects.create(case=case, actor=reviewer, at=next(moments))


def seconds_after(at: datetime) -> Iterator[datetime]:
    while True:
        at += timedelta(seconds=19)
        yield at


def move_back(case: Case, started: datetime, at: datetime) -> None:
    """Sets the times that the last step stored to `at`. These are the times since `started`."""
    case.refresh_from_db()
    with pgtrigger.ignore(*EVIDENCE):
        case.events.filter(at__gte=started).update(at=at)
        for name in ("created_at", "replaced_at", "deleted_at"):
            case.documents.filter(**{f"{name}__gte": started}).update(**{name: at})
        Case.objects.filter(pk=case.pk).update(**times_of(case, started, at))
    case.refresh_from_db()


def times_of(case: Case, started: datetime, at: datetime) -> dict[str, datetime]:
    names = ("created_at", "submitted_at", "decided_at", "claimed_until", "expires_at", "doubted_at")
    new = {name: value for name in names if (value := getattr(case, name)) and value >= started}
    later = {
        "claimed_until": timedelta(minutes=settings.KYC_CLAIM_MINUTES),
        "expires_at": timedelta(days=settings.KYC_APPROVAL_DAYS),
    }
    return {name: at + later.get(name, timedelta()) for name in new}


def seed_limits(people: dict[str, User], team: Team) -> None:
    """Uses most of one user's daily limit, and much of another's balance; plans a limit for next month."""
    adaeze, tunde = people[ADAEZE.email], people[TUNDE.email]
    for amount in (95_000, 92_500):
        limits.use(person_id=adaeze.pk, currency="NGN", amount_minor=amount * KOBO)
    everything = tuple(LimitKind)
    limits.use(person_id=tunde.pk, currency="NGN", amount_minor=1_250_000 * KOBO, kinds=everything)
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)
    limits.set_limit(
        tier=1,
        currency="NGN",
        kind=LimitKind.DAILY,
        amount_minor=75_000 * KOBO,
        actor=team.approver,
        reason="Agreed with the bank for users with a verified number.",
        valid_from=month.replace(day=1),
    )
