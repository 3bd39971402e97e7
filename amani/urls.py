"""All URLs of Amani."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from amani.api import api
from observability.alerts.intake.webhook import webhook

handler400 = "amani.error_pages.bad_request"
handler403 = "amani.error_pages.forbidden"
handler404 = "amani.error_pages.not_found"
handler429 = "accounts.staff.too_many_attempts"  # django-allauth's
handler500 = "amani.error_pages.failure"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("_allauth/", include("accounts.headless")),
    # With and without slash: a redirect would turn Alertmanager's POST into a GET and lose the alert.
    path("api/v1/alerts/webhook", webhook, name="alert-webhook"),
    path("api/v1/alerts/webhook/", webhook),
    path("", include("escrow.urls")),
    path("", include("kyc.urls")),
    path("", include("amani.runbooks")),
    path("", include("observability.urls")),
    path("api/v1/", api.urls),
]
