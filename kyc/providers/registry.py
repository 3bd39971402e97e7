"""Registry of providers by name. To add one, add a folder beside this file and a line below."""

from __future__ import annotations

from core.registry import Registry
from kyc.providers.base import Provider
from kyc.providers.manual import Manual
from kyc.providers.smile_id.provider import SmileId

PROVIDERS: Registry[Provider] = Registry("provider", (Manual(), SmileId()))


def get(name: str) -> Provider:
    """Returns the provider called `name`. Raises KeyError, which lists the known names."""
    return PROVIDERS[name]
