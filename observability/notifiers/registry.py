"""Every notifier, by name. A new one is a folder beside this file and a line below.

Routes, metrics, the scrubber, system checks, the console and `make run` take names, settings and secrets from
here.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.registry import Registry
from observability.notifiers.base import Notifier
from observability.notifiers.pagerduty.notifier import PagerDuty
from observability.notifiers.slack.notifier import Slack

NOTIFIERS: Registry[Notifier] = Registry("notifier", (PagerDuty(), Slack()))


def how_to_switch_on(notifiers: Iterable[Notifier]) -> str:
    """Name the settings that would switch on one of `notifiers`: "SLACK_WEBHOOK_URL or PAGERDUTY_API_KEY"."""
    return " or ".join(" and ".join(notifier.variables) for notifier in notifiers)


def get(name: str) -> Notifier:
    """Return the notifier called `name`. Raises KeyError, which names the ones there are."""
    return NOTIFIERS[name]


def configured() -> list[Notifier]:
    """Return the notifiers that have an address and a key."""
    return [notifier for notifier in NOTIFIERS.values() if notifier.is_configured()]
