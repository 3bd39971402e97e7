"""An episode as the plain data that notifiers word, without secrets and personal data.

Labels and annotations are stored as they came; what operators are sent elsewhere is scrubbed here.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.urls import reverse

from core.scrubbing import scrub, scrub_text
from observability.alerts import endings
from observability.alerts.intake.annotations import description_of, runbook_of
from observability.models import Episode
from observability.notifiers.base import AlertFacts

KEY_PLACE = "EPISODE-KEY"
DEFAULT_RUNBOOK_HOST = "http://localhost:8000/runbooks"  # as in deploy/prometheus/rules/alert_rules.yml


def facts_of(episode: Episode, unacknowledged_minutes: int | None = None) -> AlertFacts:
    """Returns what notifiers may know of the episode. `unacknowledged_minutes`: see AlertFacts."""
    annotations = scrub(episode.annotations)
    return AlertFacts(
        alertname=scrub_text(episode.alertname),
        severity=episode.severity,
        severity_is_unknown=episode.severity_is_unknown,
        status=status_of(episode),
        summary=scrub_text(episode.summary or episode.alertname),
        description=description_of(annotations),
        labels=scrub(episode.labels),
        annotations=annotations,
        starts_at=episode.starts_at,
        ends_at=episode.ends_at or episode.resolved_at,
        fingerprint=episode.fingerprint,
        dedup_key=episode.dedup_key,
        generator_url=scrub_text(episode.generator_url),
        runbook_url=scrub_text(runbook_url(episode)),
        console_url=console_url(episode),
        acknowledged_by=str(episode.acknowledged_by) if episode.acknowledged_by_id else "",
        is_test=episode.labels.get("test") == "true",
        unacknowledged_minutes=unacknowledged_minutes,
        ending=endings.sentence(episode),
    )


def status_of(episode: Episode) -> str:
    """The status as notifiers know it; `ended` where nothing shows that it has recovered."""
    if episode.unconfirmed_at:
        return "unconfirmed"
    is_over = episode.status == Episode.Status.RESOLVED
    return "ended" if is_over and not episode.recovered else episode.status


def runbook_url(episode: Episode) -> str:
    """The rule's runbook page, on the host under which people reach Amani."""
    url = runbook_of(episode.annotations)
    if url.startswith(DEFAULT_RUNBOOK_HOST):
        return settings.RUNBOOK_BASE_URL + url.removeprefix(DEFAULT_RUNBOOK_HOST)
    return url


def console_url(episode: Episode) -> str:
    """The address of the alert's page in Amani."""
    return settings.PUBLIC_URL + episode_path().replace(KEY_PLACE, str(episode.pk))


def history_url() -> str:
    """The address of the list of alerts in Amani."""
    return settings.PUBLIC_URL + history_path()


@cache  # `reverse` takes as long as wording the rest of a message
def episode_path() -> str:
    """The path of an alert's page, with KEY_PLACE where its key belongs."""
    return reverse("admin:observability_episode_change", args=[KEY_PLACE])


@cache
def history_path() -> str:
    return reverse("admin:observability_episode_changelist")
