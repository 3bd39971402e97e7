"""Gives a folder without Amani's file the one of the published version: after an installation, or a new disk.

So Prometheus has rules from its start on, also while no worker runs.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from observability.models import RulesVersion
from observability.rules.publication import folder
from observability.rules.publication.check import check_with_promtool
from observability.rules.publication.versions import State, is_on, open_versions


def seed() -> RulesVersion | None:
    """Writes the file of the published version, or of the first one, if the folder has none; returns it.

    The first one is checked with promtool where that is installed; the worker publishes it later, with every
    check. Raises NotPublished or TryLater.
    """
    if not is_on() or folder.read(Path(settings.ALERT_RULES_FOLDER)):
        return None
    version = RulesVersion.objects.filter(state=State.PUBLISHED).first() or open_versions().first()
    if version is not None:
        check_with_promtool(version.files)
        folder.write(Path(settings.ALERT_RULES_FOLDER), version.files)
    return version
