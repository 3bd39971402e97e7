"""A stranger signed up with the address of another, who takes the account over with a code by mail."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.tests.devices import DEVICES, EMAIL, PASSWORD, App, code_in_mail, make_person

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "staple horse battery"
PROFILE = {"full_name": "Mallory Stranger", "phone_number": "+2348031234567", "country": "NG"}
EMPTY = {"full_name": "", "phone_number": "", "country": ""}


def profile_of(user: User) -> dict[str, Any]:
    return {name: getattr(User.objects.get(pk=user.pk), name) for name in PROFILE}


@pytest.fixture
def user() -> User:
    App().sign_up(**PROFILE)
    cache.clear()  # the next mail to this address need not wait
    user = User.objects.get()
    assert profile_of(user) == PROFILE
    return user


@pytest.mark.parametrize("device", DEVICES)
def test_the_owner_of_an_address_finds_an_empty_profile(device: type[App], user: User) -> None:
    owner = device()
    owner.post("auth/password/request", email=EMAIL)
    owner.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD)
    assert profile_of(user) == EMPTY
    assert device().sign_in(password=PASSWORD).status == 400
    assert owner.sign_in(password=NEW_PASSWORD).status == 200
    assert owner.me() == 200


def test_the_stranger_does_not_get_in_between_code_and_new_password(user: User) -> None:
    owner = Client()
    owner.post("/accounts/password/reset/", {"email": EMAIL})
    owner.post("/accounts/password/reset/confirm/", {"code": code_in_mail()})
    assert profile_of(user) == EMPTY
    stranger = App()
    assert stranger.sign_in(password=PASSWORD).status == 400
    assert stranger.me() == 401

    owner.post("/accounts/password/reset/complete/", {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert App().sign_in(password=NEW_PASSWORD).status == 200


def test_a_profile_of_one_s_own_survives_a_forgotten_password() -> None:
    user = make_person(**PROFILE)
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD)
    assert profile_of(user) == PROFILE


def test_an_operator_s_name_survives_the_first_password_of_their_own() -> None:
    user = User.objects.create_user(EMAIL, PASSWORD, full_name="Ada Abara", is_staff=True)
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD)
    assert profile_of(user)["full_name"] == "Ada Abara"
