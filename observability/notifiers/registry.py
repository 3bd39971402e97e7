"""Every notifier, by name. A new one is a folder beside this file and a line below."""

from __future__ import annotations

from observability.notifiers.base import Notifier
from observability.notifiers.pagerduty.notifier import PagerDuty
from observability.notifiers.slack.notifier import Slack

NOTIFIERS: dict[str, Notifier] = {notifier.name: notifier for notifier in (PagerDuty(), Slack())}


def get(name: str) -> Notifier:
    """The notifier called `name`; KeyError names the ones there are."""
    try:
        return NOTIFIERS[name]
    except KeyError:
        raise KeyError(f"no notifier {name!r}; there are {', '.join(sorted(NOTIFIERS))}") from None


def configured() -> list[Notifier]:
    """The notifiers that have an address and a key."""
    return [notifier for notifier in NOTIFIERS.values() if notifier.is_configured()]
