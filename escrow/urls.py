"""URLs of escrow outside the API and the admin's own pages."""

from __future__ import annotations

from django.urls import path

from escrow.payments.webhook import webhook

urlpatterns = [
    # With and without slash: a redirect would turn the provider's POST into a GET and lose the webhook.
    path("api/v1/payments/webhooks/<slug:provider>", webhook, name="payment-provider-webhook"),
    path("api/v1/payments/webhooks/<slug:provider>/", webhook),
]
