"""Sign-up: an account and its address are stored together or not at all, and counted once."""

from __future__ import annotations

from typing import Any

from allauth.headless.account.inputs import SignupInput
from allauth.headless.account.views import SignupView
from allauth.headless.constants import Client
from django.db import IntegrityError, transaction
from django.forms import CharField
from django.http import HttpRequest, HttpResponse
from django.urls import path

from accounts import profile
from accounts.errors import InvalidProfile
from accounts.metrics import record_registration
from accounts.models import User


class SignUpInput(SignupInput):  # type: ignore[misc]  # allauth ships no types
    full_name = CharField(required=False)
    phone_number = CharField(required=False)
    country = CharField(required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()
        given = {name: data[name] for name in profile.FIELDS if data.get(name)}
        try:
            self.profile = profile.cleaned(given, User())
        except InvalidProfile as problem:
            for name, messages in problem.fields.items():
                self.add_error(name, messages)
        return data

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """The new account, or the answer for a taken address, which looks the same; its owner gets a mail."""
        if self.account_already_exists:
            User().set_password(self.cleaned_data["password"])  # takes as long as a new account
        else:
            try:
                return self.register(request), None
            except IntegrityError:
                if not User.objects.filter(email=self.cleaned_data["email"]).exists():
                    raise
                self.account_already_exists = True  # somebody signed up with it since the check
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


# Below /_allauth/, before django-allauth's own.
urlpatterns = [
    path(f"{client.value}/v1/auth/signup", SignUpView.as_api_view(client=client)) for client in Client
]
