"""Gives a place without Amani's file the one of the published version: after an installation, or a new disk.

So Prometheus has rules from its start on, also while no worker runs.
"""

from __future__ import annotations

from observability.models import RulesVersion
from observability.rules.publication.check import check_with_promtool
from observability.rules.publication.places import place
from observability.rules.publication.versions import State, is_on, open_versions


def seed() -> RulesVersion | None:
    """Writes the file of the published version, or of the first one, if there is none; returns it.

    The first one is checked with promtool where that is installed; the worker publishes it later, with every
    check. Raises NotPublished or TryLater.
    """
    if not is_on() or place().read():
        return None
    version = RulesVersion.objects.filter(state=State.PUBLISHED).first() or open_versions().first()
    if version is not None:
        check_with_promtool(version.files)
        place().write(version.files)
    return version
