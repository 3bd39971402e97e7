"""Which Content-Security-Policy each kind of address has."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from amani.content_policy import CONSOLE, HEADER, NOTHING
from amani.error_pages import policy

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/accounts/login/", CONSOLE),
        ("/admin/", CONSOLE),
        ("/runbooks/", CONSOLE),
        ("/", NOTHING),
        ("/api/v1/ping", NOTHING),
        ("/api/v1/me", NOTHING),
        ("/_allauth/app/v1/config", NOTHING),
        ("/api/v1/alerts/webhook", NOTHING),
        ("/accounts/no-such-page/", policy()),
    ],
)
def test_each_address_has_the_policy_of_its_kind(path: str, expected: str) -> None:
    assert Client().get(path)[HEADER] == expected


def test_the_api_s_page_keeps_its_own() -> None:
    assert "script-src 'self';" in Client().get("/api/v1/docs")[HEADER]


def test_no_policy_allows_a_script_inside_of_a_page_or_from_elsewhere() -> None:
    for allowed in (CONSOLE, NOTHING, policy(), Client().get("/api/v1/docs")[HEADER]):
        rules = dict(rule.split(" ", 1) for rule in allowed.split("; "))
        assert rules["default-src"] == "'none'"
        assert set(rules.get("script-src", "").split()) <= {"'self'", "'unsafe-eval'"}
        assert rules["base-uri"] == "'none'"
        assert rules["frame-ancestors"] == "'none'"


def test_the_page_of_an_error_allows_its_own_style_only() -> None:
    assert "style-src 'sha256-" in policy()
    assert "script-src" not in policy()


def test_django_s_pages_for_developers_have_none(settings: Any) -> None:
    settings.DEBUG = True
    answer = Client().get("/no-such-page/")
    assert answer.status_code == 404
    assert HEADER not in answer
