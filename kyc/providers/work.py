"""Processes the checks that are due: claims one, calls the provider outside any transaction, records it."""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.urls import reverse

from core.leases import claims_within
from core.outcomes import Accepted, Rejected, RetryLater
from core.outgoing import redact
from core.sqlstates import is_outage
from kyc import documents, metrics
from kyc.cases.selectors import number_of
from kyc.models import Case
from kyc.providers import registry
from kyc.providers.base import CheckFacts, Image, Provider, StartOver, Submission, Verdict
from kyc.providers.claim import Claim, claim
from kyc.providers.comparison import compared
from kyc.providers.record import record_no_answer, record_submission
from kyc.providers.verdicts import apply
from observability.sentry import capture_exception

LONGEST_RUN_SECONDS = 20.0  # then the next sweep continues; a task may take no longer than 110 s
LONGEST_REASON = 300

log = structlog.get_logger(__name__)


def run_due() -> int:
    """Processes checks until none is due or the time is over; returns the number of attempts."""
    attempts = 0
    for claimed in claims_within(LONGEST_RUN_SECONDS, claim):
        attempt(claimed)
        attempts += 1
    return attempts


def attempt(claimed: Claim) -> None:
    """Submits the check, or requests its result, and records the outcome."""
    provider = registry.get(claimed.row.provider)
    began = time.monotonic()
    operation = "submit" if claimed.submits else "fetch"
    try:
        outcome = ask(claimed, provider)
    except Exception as problem:
        if is_outage(problem):
            raise  # nothing can be recorded either; the check is claimed again after its lease
        # A check that fails must not stop the others; it is recorded and retried.
        log.exception("kyc_check_attempt_failed", check=claimed.row.pk)
        capture_exception(problem, context={"check": claimed.row.pk, "provider": provider.name})
        outcome = RetryLater(None, f"Internal error: {type(problem).__name__}.")
    if provider.is_configured():
        metrics.record_provider_request(provider.name, operation, meaning(outcome), time.monotonic() - began)
    record(claimed, provider, outcome)
    log.info("kyc_check_attempt", check=claimed.row.pk, operation=operation, outcome=meaning(outcome))


def ask(claimed: Claim, provider: Provider) -> Submission | Verdict:
    if not provider.is_configured():
        return RetryLater(None, f"{provider.label} is off: its id or key is not set.")
    case = Case.objects.select_related("person").get(pk=claimed.row.case_id)
    if claimed.submits:
        return provider.submit(facts_of(case, claimed, provider))
    reference = claimed.row.reference
    outcome = provider.fetch(reference=reference, document_type=case.document_type)
    if isinstance(outcome, Verdict):
        return compared(outcome, number=number_of(case), full_name=case.person.full_name)
    return outcome


def facts_of(case: Case, claimed: Claim, provider: Provider) -> CheckFacts:
    current = case.documents.filter(replaced_at=None, deleted_at=None)
    return CheckFacts(
        reference=claimed.row.reference,
        document_type=case.document_type,
        country=case.country,
        number=number_of(case),
        images={row.side: Image(documents.read(row), row.content_type) for row in current},
        callback_url=settings.PUBLIC_URL + reverse("kyc-provider-webhook", args=[provider.name]),
    )


def record(claimed: Claim, provider: Provider, outcome: Submission | Verdict) -> None:
    """Records the outcome. Providers' reasons have no personal data; a key in one is removed here."""
    if isinstance(outcome, Verdict):
        apply(claimed, outcome, provider.secrets())
    elif isinstance(outcome, RetryLater):
        reason = redact(outcome.reason, provider.secrets())[:LONGEST_REASON]
        safe = RetryLater(outcome.after, reason)
        if claimed.submits:
            record_submission(claimed, safe)
        else:
            record_no_answer(claimed, safe)
    else:
        record_submission(claimed, outcome)


def meaning(outcome: Submission | Verdict) -> str:
    """For the metric: it went well, it may later, or it never will."""
    match outcome:
        case Accepted() | Verdict():
            return "ok"
        case RetryLater() | StartOver():
            return "retry"
        case Rejected():
            return "rejected"
