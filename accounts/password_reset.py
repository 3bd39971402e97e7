"""Requests a code for a new password, and takes it, on the pages and in the headless API."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.ratelimit import respond_429
from allauth.headless.account.views import RequestPasswordResetView, ResetPasswordView
from allauth.headless.internal.restkit.inputs import Input
from django.http import HttpRequest
from django.utils.decorators import method_decorator

from accounts import limits, pending
from accounts.code_attempts import counted


class RequestCodeForm(ResetPasswordForm):  # type: ignore[misc]  # allauth ships no types
    def save(self, request: HttpRequest, **values: Any) -> str:
        """Sends the code, and binds it to the state of the account that was read with the address.

        Answers 429 if too many were requested.
        """
        if limits.count(request, limits.CODE, self.cleaned_data["email"].lower()) is None:
            raise ImmediateHttpResponse(respond_429(request))
        if self.users:
            pending.begin(request.session, pending.CODE_FOR_PASSWORD, self.users[0])
        email: str = super().save(request, **values)
        return email


class RequestCodeInput(RequestCodeForm, Input):  # type: ignore[misc]  # allauth ships no types
    pass


class RequestCodeView(RequestPasswordResetView):  # type: ignore[misc]  # allauth ships no types
    input_class = RequestCodeInput


@method_decorator(counted(pending.CODE_FOR_PASSWORD), name="handle")
class NewPasswordView(ResetPasswordView):  # type: ignore[misc]  # allauth ships no types
    pass
