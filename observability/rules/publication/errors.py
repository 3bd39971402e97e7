"""Defines why rules are not published: what the caller of `publish` did, and what the worker met."""

from __future__ import annotations

from core.errors import Conflict
from observability.rules.render import Place


class PublicationOff(Conflict):
    """Amani publishes no rules in this installation."""

    code = "rules_publication_off"

    def __init__(self) -> None:
        super().__init__(
            "Amani publishes no rules here: neither ALERT_RULES_FOLDER nor ALERT_RULES_TOKEN is set. Change "
            "the rule files of Prometheus."
        )


class NothingToPublish(Conflict):
    """The rules are those that are published, or are being published."""

    code = "rules_unchanged"

    def __init__(self, number: int) -> None:
        super().__init__(f"There is nothing to publish: the rules are those of version {number}.")
        self.number = number


class NoRules(Conflict):
    """Without any rule nothing would ever alert."""

    code = "no_rules"

    def __init__(self) -> None:
        super().__init__(
            "There are no rules, so nothing was published: `manage.py sync_alert_rules` reads those of this "
            "release."
        )


class RulesChangedMeanwhile(Conflict):
    """There is another newest version, or there are other rules, than the operator has seen."""

    code = "rules_changed_meanwhile"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"The rules have changed since you opened this page; the newest version is {number}. Nothing was "
            "published. Look at what changed, then decide."
        )
        self.number = number


class NotPublished(Exception):
    """The version cannot be published as it is. The message says why; `place` where, if that is known."""

    def __init__(self, why: str, place: Place | None = None) -> None:
        super().__init__(why)
        self.place = place


class TryLater(Exception):
    """Nothing is known against the version: a server did not answer, or the folder cannot be written now."""
