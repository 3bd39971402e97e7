"""Registry of payment providers by name. To add one, add a folder beside this file and a line below."""

from __future__ import annotations

from core.registry import Registry
from escrow.payments.base import Provider
from escrow.payments.paystack.provider import Paystack
from escrow.payments.sandbox.provider import Sandbox

PROVIDERS: Registry[Provider] = Registry("payment provider", (Sandbox(), Paystack()))


def get(name: str) -> Provider:
    """Returns the provider called `name`. Raises KeyError, which lists the known names."""
    return PROVIDERS[name]
