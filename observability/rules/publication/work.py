"""Publishes the version that waits: the worker's part. Each step can be done twice, and each can be the last.

    check, write, load, read back, record

A worker that is killed leaves a whole file, its row as it was, and a lease. When the lease ends, the next
attempt does the steps again: what is done already is found done. A version that is refused, before or after
it was written, has the file of the published version put back, loaded and read back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.leases import Backoff, Claim, claim_next, claims_within
from core.sqlstates import is_outage
from observability.models import RulesVersion
from observability.rules.files import Group, read_text
from observability.rules.publication.check import check
from observability.rules.publication.errors import NotPublished, TryLater
from observability.rules.publication.places import place
from observability.rules.publication.prometheus import Prometheus, WrongExpression
from observability.rules.publication.read_back import Comparison, Identity, compare, identities, in_words
from observability.rules.publication.versions import OPEN, State
from observability.rules.render import Place
from observability.sentry import capture_exception

LEASE = timedelta(seconds=150)  # longer than a task may take
ATTEMPT_SECONDS = (
    60.0  # for Prometheus in one attempt; to put a file back has as much again, less what is left
)
PUT_BACK_SECONDS = 40.0  # likewise, to put a file back after it
READ_BACK_SECONDS = 20.0
LOOK_SECONDS = 0.25
BACKOFF = Backoff(share=0.5, shortest_seconds=5.0, longest_seconds=60.0)
FOREVER = timedelta(days=36_500)
LONGEST_RUN_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Attempt:
    """One attempt to publish one version, under its lease."""

    def __init__(self, claimed: Claim[RulesVersion]) -> None:
        self.claimed = claimed
        self.version = claimed.row
        self.groups = groups_of(self.version.files)
        self.prometheus = Prometheus(ATTEMPT_SECONDS)
        self.note = ""

    def update(self, **values: object) -> bool:
        """Changes the row if this worker still has it; returns whether it has."""
        return bool(self.claimed.rows().update(**values))


def run_due() -> int:
    """Publishes what waits; returns the number of attempts."""
    return sum(attempt(claimed) for claimed in claims_within(LONGEST_RUN_SECONDS, claim))


@transaction.atomic
def claim() -> Claim[RulesVersion] | None:
    """Claims the newest open version, if it is due and no worker has another one. It is being published then,
    and an older one that never was is replaced.
    """
    opened = RulesVersion.objects.filter(state__in=OPEN)
    newest = opened.order_by("-number").values("pk")[:1]
    due = opened.filter(pk__in=newest, next_attempt_at__lte=timezone.now())
    claimed = claim_next(due, among=leasable(), lease=LEASE, most_at_once=1)
    if claimed is not None:
        older = opened.exclude(pk=claimed.row.pk)
        older.update(state=State.SUPERSEDED, finished_at=timezone.now(), next_attempt_at=None)
        claimed.rows().update(state=State.PUBLISHING)
    return claimed


def leasable() -> QuerySet[RulesVersion]:
    """Selects the versions for which a worker writes the folder: open ones, and the published one, which is
    watched. At most one of them has a lease.
    """
    return RulesVersion.objects.filter(state__in=[*OPEN, State.PUBLISHED])


def attempt(claimed: Claim[RulesVersion]) -> int:
    """Does the steps, and records what became of them. Returns 1, to be counted."""
    this = Attempt(claimed)
    try:
        publish_or_put_back(this)
    except TryLater as waits:
        log.warning("rules_publication_waits", version=this.version.number, error=str(waits))
        wait(this, str(waits))
    except Exception as problem:
        if is_outage(problem):
            raise  # nothing can be recorded either; the version is claimed again after its lease
        log.exception("rules_publication_failed", version=this.version.number)
        capture_exception(problem, context={"version": this.version.number})
        wait(this, f"Internal error: {type(problem).__name__}.")
    return 1


def publish_or_put_back(this: Attempt) -> None:
    try:
        for step in STEPS:
            step(this)
        log.info("rules_published", version=this.version.number)
    except NotPublished as refused:
        log.warning("rules_refused", version=this.version.number, error=str(refused))
        refuse(this, refused)


# --- The steps ---


def check_files(this: Attempt) -> None:
    check(this.version.files, this.groups, this.prometheus)


def write(this: Attempt) -> None:
    """Writes the file, unless an earlier attempt did."""
    there = place().read()
    if there == this.version.files:
        return
    if published() is None and this.version.replaced is None:
        this.update(replaced=there)
        this.version.replaced = there
    place().write(this.version.files)


def load(this: Attempt) -> None:
    place().load(this.prometheus)


def read_back(this: Attempt) -> None:
    """Waits until Prometheus has these rules and has evaluated them. Raises NotPublished, or TryLater while
    it cannot have them yet.
    """
    found = until_loaded(this.groups, this.prometheus)
    if found.differences:
        if why := place().waits_for():
            raise TryLater(why)
        raise NotPublished(in_words(found.differences))
    before = published()
    known = identities_of(before.files, this.prometheus) if before else set()
    for rule, why in found.failing.items():
        if rule not in known:  # a rule that failed before as well is no reason to refuse the others
            raise NotPublished(f"Prometheus cannot evaluate {rule.name}: {why}")
    this.note = in_time(found)


def record(this: Attempt) -> None:
    """Records that the version is published, and that the one before it no longer is."""
    with transaction.atomic():
        if not this.claimed.rows().select_for_update().exists():
            return
        now = timezone.now()
        RulesVersion.objects.filter(state=State.PUBLISHED).update(state=State.SUPERSEDED, finished_at=now)
        this.update(
            state=State.PUBLISHED,
            published_at=now,
            lease_until=None,
            next_attempt_at=None,
            last_error=this.note,
        )


STEPS: tuple[Callable[[Attempt], None], ...] = (check_files, write, load, read_back, record)


# --- What else can become of an attempt ---


def refuse(this: Attempt, refused: NotPublished) -> None:
    """Puts the published version back and records why this one is not."""
    why = str(refused).removesuffix(".")
    place = refused.place or Place("")
    this.update(
        state=State.REFUSED,
        last_error=f"{why}. {put_back(this)}",
        refused_file=place.file,
        refused_line=place.line or None,
        refused_column=place.column or None,
        lease_until=None,
        next_attempt_at=None,
        finished_at=timezone.now(),
    )


def put_back(this: Attempt) -> str:
    """Makes the folder and Prometheus have what they had before. Returns a sentence about it.

    Nothing is loaded again where the file was never written. Raises TryLater when the folder cannot be
    written.
    """
    before = published()
    files = before.files if before else (this.version.replaced or {})
    name = f"Version {before.number}" if before else "What was there before"
    was_written = place().read() != files if before else this.version.replaced is not None
    if not was_written and this.claimed.number == 1:
        return f"{name} stays in place."
    place().write(files)
    return f"{name} is in place again{load_again(groups_of(files))}"


def load_again(groups: list[Group]) -> str:
    """Has Prometheus load what was put back. Returns the end of the sentence: what it has, if not that."""
    prometheus = Prometheus(PUT_BACK_SECONDS)
    try:
        place().load(prometheus)
        found = until_loaded(groups, prometheus)
    except (TryLater, NotPublished) as problem:
        return f", but Prometheus has not confirmed it: {problem}"
    return f", but Prometheus has not loaded it: {in_words(found.differences)}" if found.differences else "."


def wait(this: Attempt, why: str) -> None:
    now = timezone.now()
    next_at = BACKOFF.next_attempt(since=this.version.created_at, now=now, until=now + FOREVER)
    this.update(last_error=why, lease_until=None, next_attempt_at=next_at)


# --- What they need ---


def published() -> RulesVersion | None:
    return RulesVersion.objects.filter(state=State.PUBLISHED).first()


def groups_of(files: Mapping[str, str]) -> list[Group]:
    return [group for name, text in files.items() for group in read_text(name, text)]


def until_loaded(groups: Iterable[Group], prometheus: Prometheus) -> Comparison:
    """Asks until Prometheus has loaded and evaluated the rules, for READ_BACK_SECONDS at most."""
    groups = list(groups)
    until = time.monotonic() + READ_BACK_SECONDS
    while True:
        found = compare(groups, prometheus.groups(), formatted_by(prometheus))
        is_done = not found.differences and (found.failing or not found.unevaluated)
        if is_done or time.monotonic() > until:
            return found
        time.sleep(LOOK_SECONDS)


def formatted_by(prometheus: Prometheus) -> Callable[[str], str]:
    """Returns what formats expressions that Prometheus gave, or that it was asked about before."""

    def formatted(expression: str) -> str:
        try:
            return prometheus.formatted(expression)
        except WrongExpression:
            return expression

    return formatted


def identities_of(files: Mapping[str, str], prometheus: Prometheus) -> set[Identity]:
    formatted = formatted_by(prometheus)
    return {each for group in groups_of(files) for each in identities(group, formatted)}


def in_time(found: Comparison) -> str:
    if not found.unevaluated:
        return ""
    return f"Prometheus had not yet evaluated {found.unevaluated} of the rules when this was recorded."
