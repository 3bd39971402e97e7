"""Enforces the second factor of operators while STAFF_MFA_REQUIRED is on.

django-allauth stores in the session which methods were used to sign in, so the check needs no extra query.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account import app_settings
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.core import context
from allauth.core.internal.httpkit import is_headless_request
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed
from django.conf import settings
from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse

from accounts import operators
from accounts.models import User
from accounts.sign_in import record_failure
from core import encryption

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)  # recovery codes only replace a lost one
ROUTES_OF_KEYS = ("authenticate_webauthn", "reauthenticate_webauthn", "mfa_reauthenticate_webauthn")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    error_messages = DefaultMFAAdapter.error_messages | {
        "cannot_delete_authenticator": "This is the last factor, and operators need one. Add another first.",
    }

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        others = factors_of(authenticator.user).exclude(pk=authenticator.pk)
        return not is_required_of(authenticator.user) or others.exists()

    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text.encode()).decode()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Binds security keys to the configured site, not to the Host header of the request."""
        site = settings.FRONTEND_URL if is_headless_request(context.request) else settings.PUBLIC_URL
        return {"id": urlsplit(site).hostname or "", "name": "Amani"}

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """Counts refused security keys: allauth has a signal for wrong codes, but none for keys."""
        if code == "incorrect_code" and is_response_of_key(context.request):
            record_failure(request=context.request, outcome="mfa_failed")
        error: ValidationError = super().validation_error(code, *args)
        return error


def is_response_of_key(request: HttpRequest) -> bool:
    """Returns whether the request signs in or reauthenticates with a security key."""
    name = request.resolver_match.url_name if request.resolver_match else ""
    return name in ROUTES_OF_KEYS or (name == "mfa_authenticate" and "credential" in request.POST)


def factors_of(user: Any) -> Any:
    """Returns the Authenticator rows of the user's factors, without recovery codes."""
    return Authenticator.objects.filter(user=user, type__in=FACTORS)


def secrets_of_factors() -> Any:
    """Returns the Authenticator rows that hold a secret. A security key's row holds only its public key."""
    return Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN)


def rotate_secret(row: Authenticator) -> bool:
    """Encrypts the row's secret with the first key. Returns False if nothing was written.

    That is so if the secret uses this key already, or if the row was changed concurrently.
    """
    name = "secret" if row.type == Authenticator.Type.TOTP else "seed"
    old = row.data[name].encode()
    if encryption.is_current(old):
        return False
    new = row.data | {name: encryption.rotate(old).decode()}
    return bool(Authenticator.objects.filter(pk=row.pk, data=row.data).update(data=new))


def is_required_of(user: Any) -> bool:
    return bool(settings.STAFF_MFA_REQUIRED and user.is_staff)


def is_missing(request: HttpRequest) -> bool:
    """Returns whether the session lacks the second factor that its operator must use."""
    return is_required_of(request.user) and not was_given(request)


def was_given(request: HttpRequest) -> bool:
    """Returns whether a second factor was used in this session."""
    return any(record["method"] == "mfa" for record in get_authentication_records(request, request.user))


def url_to_give_factor(request: HttpRequest, user: User, target: str) -> str:
    """Returns the URL of the page that asks for the factor, or that enrols the first one.

    The page redirects to `target`, a path.
    """
    operators.verify_address(user=user)
    types = set(factors_of(user).values_list("type", flat=True))
    if not types:
        accept_recent_password(request)
        page = "mfa_activate_totp"
    else:
        page = "mfa_reauthenticate" if Authenticator.Type.TOTP in types else "mfa_reauthenticate_webauthn"
    return f"{reverse(page)}?{urlencode({'next': target})}"


def accept_recent_password(request: HttpRequest) -> None:
    """Counts a recent sign-in by password as reauthentication, which enrolling a factor requires."""
    oldest = time.time() - app_settings.REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, request.user)
    if any(record["method"] == "password" and record["at"] > oldest for record in records):
        reauthenticate_by_password(request)


@receiver(authenticator_added, dispatch_uid="accounts.second_factor.after_enrolment")
def after_enrolment(request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    """Counts an operator's first factor as given in this session."""
    if user.is_staff and authenticator.type in FACTORS and factors_of(user).count() == 1:
        record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)


@receiver(authenticator_removed, dispatch_uid="accounts.second_factor.after_removal")
def after_removal(request: HttpRequest, user: Any, **_: Any) -> None:
    """Makes an operator enrol again after the last factor was removed, which allauth's API allows."""
    if user.is_staff and not factors_of(user).exists():
        records = get_authentication_records(request, user)
        kept = [record for record in records if record["method"] != "mfa"]
        request.session[AUTHENTICATION_METHODS_SESSION_KEY] = kept
