"""Counts and logs every attempt to sign in, without the e-mail address.

The log line has the address of the client and the id of the account.
"""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account.adapter import get_adapter
from allauth.mfa.signals import authentication_failed
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.metrics import record_login
from accounts.models import User

LOGGER = structlog.get_logger(__name__)


def record_failure(*, request: HttpRequest, outcome: str, user_id: int | None = None) -> None:
    """Counts and logs a failed sign-in. `outcome` is one of LOGIN_OUTCOMES in accounts/metrics.py."""
    record_login(outcome)
    LOGGER.warning("sign_in_failed", outcome=outcome, user_id=user_id, remote_address=address_of(request))


def account_of(email: str) -> int | None:
    """Returns the id of the account with this e-mail address, or None."""
    return User.objects.filter(email=email.strip().lower()).values_list("pk", flat=True).first()


def address_of(request: HttpRequest) -> str:
    """Returns the client's address, behind as many proxies as TRUSTED_PROXY_COUNT says, or ""."""
    try:
        return str(get_adapter().get_client_ip(request))
    except PermissionDenied:  # a request without an address: over a Unix socket, or from a test
        return ""


@receiver(user_logged_in, dispatch_uid="accounts.sign_in")
def record_success(request: HttpRequest, user: User, **_: Any) -> None:
    record_login("success")
    LOGGER.info("signed_in", user_id=user.pk, remote_address=address_of(request))


@receiver(authentication_failed, dispatch_uid="accounts.sign_in")
def record_wrong_second_factor(request: HttpRequest, user: User, **_: Any) -> None:
    record_failure(request=request, outcome="mfa_failed", user_id=user.pk)
