"""The second factor that operators sign in with, while STAFF_MFA_REQUIRED is on.

What a session was opened with is known to the session (django-allauth writes it there), so a request that is
let in costs no query.
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
from django.contrib.auth import HASH_SESSION_KEY
from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse

from accounts import operators
from accounts.models import User
from accounts.sign_in import record_failure
from core import encryption

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)  # recovery codes only stand in for these
ROUTES_OF_KEYS = ("authenticate_webauthn", "reauthenticate_webauthn", "mfa_reauthenticate_webauthn")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    error_messages = DefaultMFAAdapter.error_messages | {
        "cannot_delete_authenticator": "This is the last factor, and operators need one. Add another first.",
    }

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        others = of(authenticator.user).exclude(pk=authenticator.pk)
        return not is_required_of(authenticator.user) or others.exists()

    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text.encode()).decode()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """A key belongs to the site that people see, not to what a request's Host header says."""
        site = settings.FRONTEND_URL if is_headless_request(context.request) else settings.PUBLIC_URL
        return {"id": urlsplit(site).hostname or "", "name": "Amani"}

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """allauth has a signal for a wrong code, none for a key that does not fit."""
        if code == "incorrect_code" and is_answer_of_key(context.request):
            record_failure(request=context.request, outcome="mfa_failed")
        error: ValidationError = super().validation_error(code, *args)
        return error


def is_answer_of_key(request: HttpRequest) -> bool:
    """Whether a security key was shown to sign in or to prove once more who one is."""
    name = request.resolver_match.url_name if request.resolver_match else ""
    return name in ROUTES_OF_KEYS or (name == "mfa_authenticate" and "credential" in request.POST)


def of(user: Any) -> Any:
    """The person's factors, as rows."""
    return Authenticator.objects.filter(user=user, type__in=FACTORS)


def secrets_of_factors() -> Any:
    """Rows that hold something secret. A security key's row holds its public half."""
    return Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN)


def rotate_secret(row: Authenticator) -> bool:
    """Encrypts it with the first key, unless it is, or has changed in the meantime; whether it did."""
    name = "secret" if row.type == Authenticator.Type.TOTP else "seed"
    old = row.data[name].encode()
    if encryption.is_current(old):
        return False
    new = row.data | {name: encryption.rotate(old).decode()}
    return bool(Authenticator.objects.filter(pk=row.pk, data=row.data).update(data=new))


def is_required_of(user: Any) -> bool:
    return bool(settings.STAFF_MFA_REQUIRED and user.is_staff)


def is_missing(request: HttpRequest) -> bool:
    """Whether the operator's session should have been opened with a second factor, and was not."""
    return is_required_of(request.user) and not was_given(request)


def was_given(request: HttpRequest) -> bool:
    return any(record["method"] == "mfa" for record in get_authentication_records(request, request.user))


def way_to_give_it(request: HttpRequest, user: User, target: str) -> str:
    """The page that asks for the factor, or that enrols the first one; it leads on to `target`."""
    operators.vouch(user=user)
    types = set(of(user).values_list("type", flat=True))
    if not types:
        count_fresh_password(request)
        page = "mfa_activate_totp"
    else:
        page = "mfa_reauthenticate" if Authenticator.Type.TOTP in types else "mfa_reauthenticate_webauthn"
    return f"{reverse(page)}?{urlencode({'next': target})}"


def count_fresh_password(request: HttpRequest) -> None:
    """Who signed in a moment ago need not give the password again to enrol the first factor."""
    oldest = time.time() - app_settings.REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, request.user)
    if any(record["method"] == "password" and record["at"] > oldest for record in records):
        reauthenticate_by_password(request)


@receiver(authenticator_added, dispatch_uid="accounts.second_factor.after_enrolment")
def after_enrolment(request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    """An operator's first factor: it counts as given here, and sessions opened without it are over."""
    if user.is_staff and authenticator.type in FACTORS and of(user).count() == 1:
        record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)
        end_other_sessions(request, user)


@receiver(authenticator_removed, dispatch_uid="accounts.second_factor.after_removal")
def after_removal(request: HttpRequest, user: Any, **_: Any) -> None:
    """An operator's last factor is gone (allauth's API lets it): enrol anew."""
    if user.is_staff and not of(user).exists():
        records = get_authentication_records(request, user)
        kept = [record for record in records if record["method"] != "mfa"]
        request.session[AUTHENTICATION_METHODS_SESSION_KEY] = kept
        end_other_sessions(request, user)


def end_other_sessions(request: HttpRequest, user: Any) -> None:
    operators.end_sessions(user=user)
    request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
