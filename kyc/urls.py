"""URLs of KYC outside the API and the admin's own pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from kyc.documents.views import document
from kyc.providers.webhook import webhook

urlpatterns = [
    path("kyc/documents/<uuid:public_id>", admin.site.admin_view(document), name="kyc-document"),
    # With and without slash: a redirect would turn the provider's POST into a GET and lose the callback.
    path("api/v1/kyc/webhooks/<slug:provider>", webhook, name="kyc-provider-webhook"),
    path("api/v1/kyc/webhooks/<slug:provider>/", webhook),
]
