"""Watches, every few minutes, whether Prometheus and the folder still have the published rules."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.utils import timezone

from core.leases import Claim, claim_next
from observability.models import RulesVersion
from observability.rules.publication.errors import NotPublished, TryLater
from observability.rules.publication.places import place
from observability.rules.publication.prometheus import Prometheus
from observability.rules.publication.read_back import compare, in_words
from observability.rules.publication.versions import OPEN, State, is_on, open_versions
from observability.rules.publication.work import LEASE, formatted_by, groups_of, leasable

SECONDS = 40.0

log = structlog.get_logger(__name__)


def watch() -> None:
    """Stores since when Prometheus, or the folder, has other rules than the published version, and which.

    A file that has gone or was changed is written again, and Prometheus is told to reload before it counts as
    different. Nothing is compared while a version is being published, or while Prometheus does not answer.
    """
    claimed = claim_published()
    if claimed is None:
        return
    version = claimed.row
    try:
        why = difference(version)
        since = (version.differs_since or timezone.now()) if why else None
        claimed.rows().update(differs_since=since, differs_because=why)
    except (TryLater, NotPublished) as problem:
        log.warning("published_rules_not_compared", error=str(problem))
    finally:
        claimed.rows().update(lease_until=None)


def claim_published() -> Claim[RulesVersion] | None:
    """Claims the published version, so that no worker writes another one meanwhile; None if one is open."""
    if not is_on() or open_versions().exists():
        return None
    version = RulesVersion.objects.filter(state=State.PUBLISHED)
    return claim_next(version, among=leasable(), lease=LEASE, most_at_once=1)


def difference(version: RulesVersion) -> str:
    """Returns what Prometheus has instead of the published rules, also after a reload; "" if it has them.

    The log says what was restored: the file, or what a Prometheus with the right file had lost.
    """
    prometheus, groups = Prometheus(SECONDS), groups_of(version.files)
    formatted = formatted_by(prometheus)
    is_whole = place().read() == version.files
    if is_whole and not compare(groups, prometheus.groups(), formatted).differences:
        return ""
    if not is_whole:
        place().write(version.files)
        log.warning("published_rules_restored", version=version.number, file_differed=True)
    is_reloaded = place().load(prometheus)
    differences = compare(groups, prometheus.groups(), formatted).differences
    if is_whole and is_reloaded and not differences:
        log.warning("published_rules_restored", version=version.number, file_differed=False)
    return in_words(differences)


def unpublished_seconds(now: datetime) -> float:
    """Returns for how long Prometheus has had other rules than it should have; 0 when it has the right ones.

    A version that waits, or was refused and has no successor, counts from when it was made.
    """
    if not is_on():
        return 0.0
    newest = RulesVersion.objects.only("state", "created_at").first()
    if newest is not None and newest.state in (*OPEN, State.REFUSED):
        return (now - newest.created_at).total_seconds()
    since = RulesVersion.objects.filter(state=State.PUBLISHED).values_list("differs_since", flat=True).first()
    return (now - since).total_seconds() if since else 0.0
