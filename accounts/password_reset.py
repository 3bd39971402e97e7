"""Requests a code for a new password, on the page and in the headless API."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.headless.account.views import RequestPasswordResetView
from allauth.headless.internal.restkit.inputs import Input
from django.http import HttpRequest

from accounts import pending


class RequestCodeForm(ResetPasswordForm):  # type: ignore[misc]  # allauth ships no types
    def save(self, request: HttpRequest, **values: Any) -> str:
        """Sends the code, and binds it to the state of the account that was read with the address."""
        if self.users:
            pending.begin(request.session, pending.CODE_FOR_PASSWORD, self.users[0])
        email: str = super().save(request, **values)
        return email


class RequestCodeInput(RequestCodeForm, Input):  # type: ignore[misc]  # allauth ships no types
    pass


class RequestCodeView(RequestPasswordResetView):  # type: ignore[misc]  # allauth ships no types
    input_class = RequestCodeInput
