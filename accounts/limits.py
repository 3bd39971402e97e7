"""Limits sign-ins and requests for codes, in a way that strangers cannot use up for the owner of an account.

A known device (accounts/known_devices.py) has counters of its own. All other requests count by their source
(an IP address; of IPv6 a /64), then by e-mail address and source together, and only if these allow it by
e-mail address alone. So one source uses up only its own part of what an address allows.

django-allauth counts in Redis, one request after the other for each counter. The rates are in
ACCOUNT_RATE_LIMITS; what has no rate there is not counted in that way.
"""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_reset
from allauth.core.internal import ratelimit
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.known_devices import device_of
from accounts.models import User

SIGN_IN = "sign_in"
WRONG_PASSWORD = "wrong_password"  # noqa: S105  (the name of a limit)
CODE = "code"


class Attempt:
    """An attempt that was counted, perhaps in several counters."""

    def __init__(self) -> None:
        self.counted: list[ratelimit.RateLimitUsage] = []

    def undo(self) -> None:
        """Takes the attempt out of the counters."""
        for usage in self.counted:
            usage.rollback()


def count(request: HttpRequest, what: str, email: str) -> Attempt | None:
    """Counts an attempt and returns it; None if a counter is used up.

    Counts before the attempt is made, so that of many at the same instant no more are made than allowed.
    """
    attempt = Attempt()
    for how, key in counters_of(request, email):
        usage = ratelimit.consume(request, app="allauth.account", action=f"{what}_{how}", key=key)
        if usage is None:
            return None
        attempt.counted.append(usage)
    return attempt


def counters_of(request: HttpRequest, email: str) -> list[tuple[str, str]]:
    """Returns how the request is counted: the names of the counters, each with its key."""
    if device := device_of(request, email):
        return [("by_device", f"{email} {device}")]
    return [("by_source", ""), *counters_of_address(request, email)]


def counters_of_address(request: HttpRequest, email: str) -> list[tuple[str, str]]:
    return [("by_address_and_source", f"{email} {ratelimit.get_ip(request)}"), ("by_address", email)]


@receiver(password_reset, dispatch_uid="accounts.limits")
def forgive(request: HttpRequest, user: User, **_: Any) -> None:
    """Forgets the wrong passwords of an account whose owner has just set a new one with a code."""
    for how, key in counters_of_address(request, user.email):
        ratelimit.clear(request, app="allauth.account", action=f"{WRONG_PASSWORD}_{how}", key=key)
