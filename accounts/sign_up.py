"""Registers an account together with its address in one transaction, and counts it once.

Afterwards the user verifies the address with a code.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.headless.account.inputs import SignupInput
from allauth.headless.account.views import SignupView
from allauth.headless.account.views import VerifyEmailView as AllauthVerifyEmailView
from allauth.headless.base.response import ConflictResponse
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import CharField
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

from accounts import pending, profile
from accounts.code_attempts import counted
from accounts.errors import InvalidProfile
from accounts.metrics import record_registration
from accounts.models import User


class SignUpInput(SignupInput):  # type: ignore[misc]  # allauth ships no types
    account_already_exists: bool
    full_name = CharField(required=False)
    phone_number = CharField(required=False)
    country = CharField(required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()
        self.profile = self.cleaned_profile(data)
        if "password" in data:
            self.refuse_personal_password(data)
        return data

    def cleaned_profile(self, data: dict[str, Any]) -> dict[str, str]:
        """Returns the normalised profile, or {} after adding the errors to the form."""
        given = {name: data[name] for name in profile.FIELDS if data.get(name)}
        try:
            return profile.cleaned(given, User())
        except InvalidProfile as problem:
            for name, messages in problem.fields.items():
                self.add_error(name, [ValidationError(message, code="invalid") for message in messages])
        return {}

    def refuse_personal_password(self, data: dict[str, Any]) -> None:
        """Adds an error if the password resembles the name or address; allauth's check does not know them."""
        try:
            person = User(email=data.get("email", ""), full_name=data.get("full_name", ""))
            get_adapter().clean_password(data["password"], person)
        except ValidationError as problem:
            self.add_error("password", problem)

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Returns the new account, or the response for a taken address.

        The response is the same in both cases, so that it does not reveal whether an address has an account.
        The owner of a taken address gets a mail.
        """
        if self.account_already_exists:
            User().set_password(self.cleaned_data["password"])  # takes the time that a new account takes
        else:
            try:
                return self.register(request), None
            except IntegrityError:
                if not User.objects.filter(email=self.cleaned_data["email"]).exists():
                    raise
                self.account_already_exists = True  # another request registered it since the check
        result: tuple[User | None, HttpResponse | None] = super().try_save(request)
        return result

    @transaction.atomic
    def register(self, request: HttpRequest) -> User:
        user: User = self.save(request)
        for name, value in self.profile.items():
            setattr(user, name, value)
        user.save(update_fields=list(self.profile))
        transaction.on_commit(record_registration)
        return user


class SignUpView(SignupView):  # type: ignore[misc]  # allauth ships no types
    input_class = {"POST": SignUpInput}


@method_decorator(counted(pending.CODE_FOR_ADDRESS), name="handle")
class VerifyEmailView(AllauthVerifyEmailView):  # type: ignore[misc]  # allauth ships no types
    def post(self, request: HttpRequest, *args: Any, **values: Any) -> HttpResponse:
        """Verifies the address. Answers 409 if it was verified on another device in the meantime."""
        if self.process and self.process.email_address.verified:
            self.process.abort()
            conflict: HttpResponse = ConflictResponse(request)
            return conflict
        response: HttpResponse = super().post(request, *args, **values)
        return response
