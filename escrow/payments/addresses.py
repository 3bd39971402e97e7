"""The addresses that providers get: where they report, and where a buyer returns to."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from escrow.payments.base import Provider


def webhook_url(provider: Provider) -> str:
    return str(settings.PUBLIC_URL) + reverse("payment-provider-webhook", args=[provider.name])
