"""Gives the alert rules to Prometheus: stored as a version, checked, written, loaded, and read back.

How other modules use it:

    version = publish(author=request.user, reason="…", seen=number)  # the worker does the rest

versions.py stores, work.py is the worker's part: its steps use check.py, folder.py, prometheus.py and
read_back.py. docs/rules.md explains the states.
"""

from observability.rules.publication.errors import (
    NothingToPublish,
    PublicationOff,
    RulesChangedMeanwhile,
)
from observability.rules.publication.versions import is_on, publish

__all__ = ["NothingToPublish", "PublicationOff", "RulesChangedMeanwhile", "is_on", "publish"]
