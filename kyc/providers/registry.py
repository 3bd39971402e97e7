"""Every provider, by name. A new one is a folder beside this file and a line below."""

from __future__ import annotations

from kyc.providers.base import Provider
from kyc.providers.manual import Manual
from kyc.providers.smile_id.provider import SmileId

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (Manual(), SmileId())}


def get(name: str) -> Provider:
    """The provider called `name`; KeyError names the ones there are."""
    try:
        return PROVIDERS[name]
    except KeyError:
        raise KeyError(f"no provider {name!r}; there are {', '.join(sorted(PROVIDERS))}") from None
