"""Where the published rule file is: in a folder that Prometheus reads, or served to what fetches it for
Prometheus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils import timezone

from observability.models import ServedRules
from observability.rules.publication import folder
from observability.rules.publication.prometheus import Prometheus
from observability.rules.render import FILE

TO_LOAD = timedelta(minutes=2)  # what fetched the rules has so long until Prometheus must have loaded them


class Place(Protocol):
    def read(self) -> dict[str, str]:
        """Returns name and text of the file; nothing if there is none. Raises TryLater."""

    def write(self, files: Mapping[str, str]) -> None:
        """Replaces the file as a whole; without one in `files` there is none afterwards. Raises TryLater."""

    def load(self, prometheus: Prometheus) -> bool:
        """Has Prometheus load the file, if that is Amani's part, and returns whether it is.

        Raises NotPublished or TryLater.
        """

    def waits_for(self) -> str:
        """Returns why Prometheus cannot be expected to have the file yet, as a sentence; "" if it can."""


class Folder:
    """The folder ALERT_RULES_FOLDER, which Prometheus reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        return folder.read(self.path)

    def write(self, files: Mapping[str, str]) -> None:
        folder.write(self.path, files)

    def load(self, prometheus: Prometheus) -> bool:
        prometheus.reload()
        return True

    def waits_for(self) -> str:
        return ""


class Served:
    """A row that serving.py serves to holders of ALERT_RULES_TOKEN.

    What fetches it has Prometheus load it.
    """

    def read(self) -> dict[str, str]:
        row = ServedRules.objects.first()
        return {FILE: row.text} if row is not None and row.text else {}

    def write(self, files: Mapping[str, str]) -> None:
        if self.read() == files:
            return  # it keeps the time at which it was fetched
        text = files.get(FILE, "")
        values = {
            "text": text,
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "written_at": timezone.now(),
            "fetched_at": None,
        }
        ServedRules.objects.update_or_create(pk=ServedRules.ONLY, defaults=values)

    def load(self, prometheus: Prometheus) -> bool:
        return False

    def waits_for(self) -> str:
        row = ServedRules.objects.first()
        if row is None:
            return "The rules are not served yet."
        if row.fetched_at is None:
            return (
                f"The rules have been served since {row.written_at:%H:%M:%S} UTC and were not fetched yet. "
                "Does what fetches them run, and does it have the right token?"
            )
        if timezone.now() < row.fetched_at + TO_LOAD:
            return (
                f"The rules were fetched at {row.fetched_at:%H:%M:%S} UTC; Prometheus does not have them yet."
            )
        return ""


def place() -> Place:
    """Returns the place that the settings choose; the caller has asked `versions.is_on`."""
    path = settings.ALERT_RULES_FOLDER
    return Folder(Path(path)) if path else Served()
