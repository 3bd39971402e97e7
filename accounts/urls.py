"""Routes below /accounts/: the pages where operators sign in and manage their password and second factor.

Only the django-allauth views that operators need; there is no sign-up. Buyers and sellers use its API
(/_allauth/). The route names are those that allauth itself reverses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

from accounts import pending, second_factor
from accounts.code_attempts import counted

View = Callable[..., HttpResponseBase]


def page(view: View) -> View:
    """Returns the view with the context of the console's frame and without caching of personal data."""

    @never_cache
    @wraps(view)
    def framed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and not response.is_rendered:
            response.context_data = admin.site.each_context(request) | (response.context_data or {})
        return response

    return framed


def own(view: View) -> View:
    """Returns the view as a page of one's own account, which asks for the second factor if there is one."""
    framed = page(view)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user
        if (
            user.is_authenticated
            and second_factor.is_missing(request)
            and second_factor.factors_of(user).exists()
        ):
            target = request.get_full_path()
            return HttpResponseRedirect(second_factor.url_to_give_factor(request, user, target))
        return framed(request, *args, **kwargs)

    return guarded


class RemoveKeyView(webauthn.RemoveWebAuthnView):  # type: ignore[misc]  # allauth ships no types
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        adapter = second_factor.MFAAdapter()
        key = self.get_queryset().filter(pk=kwargs["pk"]).first() if request.user.is_authenticated else None
        if key and not adapter.can_delete_authenticator(key):
            messages.error(request, adapter.error_messages["cannot_delete_authenticator"])
            return HttpResponseRedirect(reverse("mfa_index"))
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response


email_verification_sent = counted(pending.CODE_FOR_ADDRESS)(account.email_verification_sent)
confirm_password_reset_code = counted(pending.CODE_FOR_PASSWORD)(account.confirm_password_reset_code)

urlpatterns = [
    path("login/", page(account.login), name="account_login"),
    path("logout/", page(account.logout), name="account_logout"),
    path("inactive/", page(account.account_inactive), name="account_inactive"),
    path("reauthenticate/", page(account.reauthenticate), name="account_reauthenticate"),
    path(
        "confirm-email/",
        page(email_verification_sent),
        name="account_email_verification_sent",
    ),
    path("email/", RedirectView.as_view(pattern_name="home"), name="account_email"),
    path("password/change/", own(account.password_change), name="account_change_password"),
    path("password/set/", own(account.password_set), name="account_set_password"),
    path("password/reset/", page(account.password_reset), name="account_reset_password"),
    path(
        "password/reset/confirm/",
        page(confirm_password_reset_code),
        name="account_confirm_password_reset_code",
    ),
    path(
        "password/reset/complete/",
        page(account.complete_password_reset),
        name="account_complete_password_reset",
    ),
    path(
        "password/reset/done/",
        page(account.password_reset_from_key_done),
        name="account_password_reset_completed",
    ),
    path("2fa/", own(factors.index), name="mfa_index"),
    path("2fa/authenticate/", page(factors.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", page(factors.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", own(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", own(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", own(recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "2fa/recovery-codes/generate/",
        own(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/download/",
        own(recovery_codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
    path("2fa/webauthn/", own(webauthn.list_webauthn), name="mfa_list_webauthn"),
    path("2fa/webauthn/add/", own(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path(
        "2fa/webauthn/reauthenticate/",
        page(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("2fa/webauthn/keys/<int:pk>/remove/", own(RemoveKeyView.as_view()), name="mfa_remove_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/edit/", own(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
]
