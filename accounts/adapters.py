"""Adapts django-allauth: e-mail addresses, passwords, mail, and the record of failed sign-ins."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core import context as current
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import clean_client_ip, is_headless_request
from allauth.core.ratelimit import respond_429
from allauth.headless.base.response import ConflictResponse
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts import limits, operators, pending, second_factor
from accounts.mail import outbox
from accounts.mail.about import about_template
from accounts.models import User
from accounts.passwords import normalised
from accounts.sign_in import account_of, record_failure

LONGEST_EMAIL = 254
LOCKED_OUT = "too_many_login_attempts"
# A stranger can cause these mails to any address, by a request for a code or by a sign-up.
NOTICES_TO_STRANGERS = ("account/email/unknown_account", "account/email/account_already_exists")
ONE_NOTICE_IN_SECONDS = 3600


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    attempted_email = ""
    attempt: limits.Attempt | None = None

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Returns True for the headless API only.

        The pages below /accounts/ are for operators, whose accounts a superuser creates in the admin.
        """
        return is_headless_request(request) is not None

    def clean_email(self, email: str) -> str:
        """Returns the address in lower case, as a constraint of the database requires.

        Raises ValidationError for letters outside ASCII, because two of them can look the same, and for an
        address that is too long.
        """
        if not email.isascii():
            raise ValidationError("Write the e-mail address in ASCII letters.", code="invalid")
        if len(email) > LONGEST_EMAIL:
            raise ValidationError(
                f"The e-mail address is longer than {LONGEST_EMAIL} characters.", code="max_length"
            )
        return email.strip().lower()

    def set_password(self, user: User, password: str) -> None:
        """Stores the hash of the new password and no other field.

        Hashing takes so long that the account may have been changed or erased in the meantime, for example
        with another code. Then nothing is stored, and the user starts again.
        """
        request = current.request
        is_outdated = pending.CODE_FOR_PASSWORD in request.session and not pending.has_state(
            request.session, pending.CODE_FOR_PASSWORD, user
        )
        as_read = User.objects.filter(
            pk=user.pk,
            is_active=True,
            password=user.password,
            email=user.email,
            sessions_from=user.sessions_from,
        )
        user.set_password(password)
        if is_outdated or not as_read.update(password=user.password):
            raise ImmediateHttpResponse(changed_meanwhile(request))

    # --- Reauthentication: with the second factor, if the user has one ---

    def reauthenticate(self, user: User, password: str) -> bool:
        """Returns whether the password is right. Raises ValidationError if the user has a second factor.

        Otherwise an attacker with an open session and the password could remove the factor or the account.
        """
        if second_factor.factors_of(user).exists():
            raise ValidationError(
                "You have a second factor. Confirm with that.", code="second_factor_required"
            )
        return bool(super().reauthenticate(user, password))

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Returns the reauthentication pages without the one for the password, if there is another.

        allauth redirects to the first of them.
        """
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        return [method for method in methods if method["url"] != reverse("account_reauthenticate")] or methods

    # --- Mail ---

    def send_confirmation_mail(
        self, request: HttpRequest, emailconfirmation: Any, *args: Any, **values: Any
    ) -> None:
        """Sends the code for an address, and binds it to the state of the account."""
        pending.begin(request.session, pending.CODE_FOR_ADDRESS, emailconfirmation.user)
        super().send_confirmation_mail(request, emailconfirmation, *args, **values)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Stores the mail; the worker sends it (accounts/mail/), so no request waits for a mail server."""
        values = {"email": email, "frontend_url": settings.FRONTEND_URL, **context}
        message: Any = self.render_mail(template_prefix, email, values)
        message.about = about_template(template_prefix, context)
        if template_prefix in NOTICES_TO_STRANGERS and was_sent_lately(template_prefix, email):
            outbox.pretend_to_store([message])
        else:
            message.send()

    # --- Sign-in: failures are counted and logged ---

    def get_client_ip(self, request: HttpRequest) -> str:
        """Returns the address of the client.

        allauth raises ImproperlyConfigured for a request that did not pass the proxies: then it is the
        address of the connection. Raises PermissionDenied if the request has no address.
        """
        try:
            return str(super().get_client_ip(request))
        except ImproperlyConfigured:
            address: str | None = clean_client_ip(request.META.get("REMOTE_ADDR") or "")
        if not address:
            raise PermissionDenied("The request has no address.")
        return address

    def pre_login(self, request: HttpRequest, user: User, **values: Any) -> HttpResponse | None:
        operators.verify_address(user=user)
        pending.begin(request.session, pending.SIGN_IN, user)
        response: HttpResponse | None = super().pre_login(request, user, **values)
        return response

    def login(self, request: HttpRequest, user: User) -> None:
        """Opens the session, unless the account has changed since the password was checked."""
        if not pending.has_state(request.session, pending.SIGN_IN, user):
            clear_login(request)
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_login")))
        super().login(request, user)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts the attempt by Amani's own limits. Refuses it with 429, or as locked out."""
        self.attempted_email = (credentials.get("email") or "").lower()
        if limits.count(request, limits.SIGN_IN, self.attempted_email) is None:
            raise ImmediateHttpResponse(respond_429(request))
        self.attempt = limits.count(request, limits.WRONG_PASSWORD, self.attempted_email)
        if self.attempt is None:
            raise self.validation_error(LOCKED_OUT)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        user: User | None = super().authenticate(request, **credentials)
        if user is not None and self.attempt is not None:
            self.attempt.undo()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        user_id = account_of(credentials.get("email") or "")
        outcome = "unknown_account" if user_id is None else "wrong_password"
        password = credentials.get("password") or ""
        if user_id is None and normalised(password) != password:
            make_password(password)  # takes the time in which an existing account checks the second spelling
        record_failure(request=request, outcome=outcome, user_id=user_id)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        record_failure(request=request, outcome="inactive", user_id=user.pk)
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """Counts lockouts: allauth has no signal for them, but builds this error for each."""
        if code == LOCKED_OUT:
            user_id = account_of(self.attempted_email) if self.attempted_email else None
            record_failure(request=current.request, outcome="locked_out", user_id=user_id)
        error: ValidationError = super().validation_error(code, *args)
        return error


def was_sent_lately(template_prefix: str, email: str) -> bool:
    """Returns whether this notice went to this address within the last hour; if not, it counts as sent."""
    key = f"accounts:notice:{template_prefix}:{outbox.hash_of(email, settings.SECRET_KEY)}"
    return not cache.add(key, 1, ONE_NOTICE_IN_SECONDS)


def changed_meanwhile(request: HttpRequest) -> HttpResponse:
    """Returns the response to a request whose account was changed while it was served."""
    if is_headless_request(request):
        conflict: HttpResponse = ConflictResponse(request)
        return conflict
    messages.error(request, "The account has changed in the meantime. Start again.")
    return HttpResponseRedirect(reverse("account_login"))
