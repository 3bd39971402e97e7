"""Addresses of KYC that are neither the API's nor the admin's own pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from kyc.documents.views import document

urlpatterns = [
    path("kyc/documents/<uuid:public_id>", admin.site.admin_view(document), name="kyc-document"),
]
