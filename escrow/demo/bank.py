"""Plays the person at the sandbox bank, by the forms of its page (local/bank)."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings

from core import outgoing
from escrow.payments import registry
from escrow.payments.sandbox.provider import Sandbox

SECONDS = 10.0


def is_there() -> bool:
    """Returns whether payments go to a sandbox bank that is set up."""
    return Sandbox.name == settings.PAYMENT_PROVIDER and registry.get(Sandbox.name).is_configured()


def act(kind: str, reference: str, action: str, **fields: str) -> None:
    """Does what a button of the bank's page does. No webhook follows, because no web server listens yet.

    Raises core.outgoing.DeliveryError when the bank does not answer.
    """
    form = {"kind": kind, "reference": reference, "action": action, "way": "never", **fields}
    outgoing.send(
        "POST",
        f"{settings.PAYMENT_SANDBOX_URL}/act",
        body=urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        seconds=SECONDS,
        limit_bytes=64 * 1024,
        by_proxy=False,
    )
