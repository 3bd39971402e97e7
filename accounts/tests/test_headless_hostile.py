"""Tests that malformed requests to /_allauth/ never cause a server error."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import BadRequest
from django.urls import URLPattern, URLResolver
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import headless
from accounts.tests.devices import DEVICES, PASSWORD, App, make_person
from accounts.tests.soft_key import SoftKey, websafe

pytestmark = pytest.mark.django_db

FIELDS = (
    *("email", "password", "full_name", "phone_number", "country", "key", "code", "name", "credential", "id"),
    *("current_password", "new_password", "primary", "authenticators", "sessions", "phone", "username"),
)
DEEP: dict[str, Any] = {"id": {"id": {"id": [{}]}}, "response": {"clientDataJSON": 1}, "type": []}
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1.5, "", "x", "x" * 5000, "\u0661\u0662\u0663", "a@b.co"),
    *(
        [],
        {},
        [None],
        [[]],
        [{"id": 1}],
        {"id": "x", "rawId": "x", "type": "public-key", "response": {}},
        DEEP,
    ),
)


def routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every route with the methods that its view has."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        elif hasattr(pattern.callback, "view_class"):
            view = pattern.callback.view_class
            yield path, [name for name in ("post", "put", "patch", "delete") if hasattr(view, name)]


OF_APP = {
    route.removeprefix("app/v1/"): methods
    for route, methods in routes(headless.urlpatterns)
    if route.startswith("app/") and methods
}


def test_the_routes_are_those_of_the_clients() -> None:
    assert OF_APP["auth/signup"] == ["post"]
    assert OF_APP["account/authenticators/webauthn"] == ["post", "put", "delete"]
    assert len(OF_APP) > 15


@pytest.mark.parametrize("route", OF_APP)
def test_no_value_of_any_field_breaks_a_route(route: str) -> None:
    make_person()
    phone = App()
    phone.sign_in()
    phone.post("auth/reauthenticate", password=PASSWORD)
    for method in OF_APP[route]:
        for value in VALUES:
            cache.clear()
            body = dict.fromkeys(FIELDS, value)
            assert phone.request(method.upper(), App.base + route, body).status_code < 500, (method, value)


KEY = SoftKey()
ANSWERS = (
    KEY.registered({"publicKey": {"rp": {"id": "localhost"}, "challenge": "AAAA"}}),
    KEY.signed({"publicKey": {"rpId": "localhost", "challenge": "AAAA"}}),
)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_answer_of_a_broken_key_is_a_failure_of_ours(data: st.DataObject) -> None:
    credential = deepcopy(data.draw(st.sampled_from(ANSWERS)))
    part = data.draw(st.sampled_from(sorted(credential["response"])))
    whole = bytearray(urlsafe_b64decode(credential["response"][part] + "=="))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    credential["response"][part] = websafe(bytes(whole))
    with suppress(BadRequest):
        headless.refuse_unreadable_key(credential)


def test_a_body_longer_than_any_client_s_is_refused() -> None:
    answer = App().request("POST", App.base + "auth/signup", {"email": "a@b.co", "password": "x" * 65_536})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "\u0663"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    answer = App(CONTENT_LENGTH=length).request("POST", App.base + "auth/login", {})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("device", DEVICES)
def test_telephone_numbers_are_no_way_in(device: type[App]) -> None:
    phone = device()
    assert phone.get("account/phone").status == 404
    assert phone.post("auth/phone/verify", code="x").status == 404
