"""Codes by mail are kept as hashes; which request brings one back, and where it looks for it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from accounts.codes import HASH, hash_of, hashed_in, put_back, sent_with
from accounts.pending import CODE_FOR_ADDRESS, CODE_FOR_PASSWORD, SIGN_IN

CODE = "K7PX-92QM"
MAKE = RequestFactory()


def in_api(request: HttpRequest) -> HttpRequest:
    """`request` as allauth's headless API marks it."""
    # The attribute is allauth's own, which Django's types do not have.
    request.allauth = SimpleNamespace(headless=SimpleNamespace(client="app"))  # type: ignore[attr-defined]
    return request


def posted(body: bytes | str) -> HttpRequest:
    return MAKE.post("/", body, content_type="application/json")


def test_case_blanks_and_hyphens_do_not_count() -> None:
    assert hash_of(CODE) == hash_of(" k7px 92qm ")
    assert hash_of(CODE) != hash_of("K7PX-92QN")


def test_a_code_that_waits_during_an_upgrade_stays_valid(settings: Any) -> None:
    settings.SECRET_KEY = "k" * 32
    assert hash_of(CODE) == "d1f16a58954f3e583d5fc889e316a58c1d02ab71dedc011cd1669be0b9b424c0"


def test_codes_are_replaced_and_all_else_stays() -> None:
    data: dict[str, Any] = {
        CODE_FOR_ADDRESS: {"code": CODE, "email": "ada@example.com"},
        CODE_FOR_PASSWORD: {"code": "", "user_id": 7},
        SIGN_IN: {"code": CODE},
        "other": 1,
    }
    before = json.dumps(data)
    assert hashed_in(data) == {
        CODE_FOR_ADDRESS: {"code": "", HASH: hash_of(CODE), "email": "ada@example.com"},
        CODE_FOR_PASSWORD: {"code": "", "user_id": 7},
        SIGN_IN: {"code": CODE},
        "other": 1,
    }
    assert json.dumps(data) == before, "the request goes on with the code"


@pytest.mark.parametrize("thing", [None, "text", {"email": "ada@example.com"}])
def test_what_has_no_code_stays_as_it_is(thing: object) -> None:
    assert hashed_in({CODE_FOR_ADDRESS: thing}) == {CODE_FOR_ADDRESS: thing}


@pytest.mark.parametrize(
    ("sent", "thing", "found"),
    [
        (CODE, {HASH: hash_of(CODE)}, CODE),
        ("k7px92qm", {HASH: hash_of(CODE)}, "k7px92qm"),
        ("wrong", {HASH: hash_of(CODE)}, None),
        ("", {HASH: hash_of("")}, None),
        (hash_of(CODE), {HASH: hash_of(CODE)}, None),
        (CODE, {}, None),
    ],
)
def test_only_the_right_code_is_put_back(sent: str, thing: dict[str, Any], found: str | None) -> None:
    put_back(thing, MAKE.post("/", {"code": sent}))
    assert thing.get("code") == found


def test_a_form_brings_its_code() -> None:
    assert sent_with(MAKE.post("/", {"code": CODE})) == CODE
    assert sent_with(MAKE.post("/", {"key": CODE})) == ""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (json.dumps({"key": CODE}), CODE),
        (json.dumps({"code": CODE}), ""),
        (json.dumps({"key": 5}), ""),
        (json.dumps([CODE]), ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_the_api_brings_it_in_json(body: bytes | str, found: str) -> None:
    assert sent_with(in_api(posted(body))) == found


@pytest.mark.parametrize("header", ["X-Email-Verification-Key", "X-Password-Reset-Key"])
def test_a_question_of_the_api_brings_it_in_a_header(header: str) -> None:
    assert sent_with(in_api(MAKE.get("/", headers={header: CODE}))) == CODE
    assert sent_with(in_api(MAKE.get("/?code=1"))) == ""
