"""Sessions of operators end after some hours, and when they are not used; a stolen cookie ends with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.tests.devices import EMAIL, PASSWORD, App, make_person

pytestmark = pytest.mark.django_db

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """`later(30)` lets 30 minutes pass."""
    passed = timedelta()

    def now() -> datetime:
        return datetime.now(tz=real_now().tzinfo) + passed

    def later(minutes: float) -> None:
        nonlocal passed
        passed += timedelta(minutes=minutes)

    real_now = timezone.now
    monkeypatch.setattr(timezone, "now", now)
    return later


@pytest.fixture
def operator() -> Client:
    """Signed in on the page."""
    User.objects.create_user(EMAIL, PASSWORD, is_staff=True)
    client = Client()
    client.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})
    assert is_open(client)
    return client


def is_open(client: Client, page: str = "/admin/") -> bool:
    return bool(client.get(page).status_code == 200)


def test_a_session_that_is_not_used_for_an_hour_ends(operator: Client, later: Later) -> None:
    later(59)
    assert is_open(operator)
    later(59)
    assert is_open(operator)
    later(61)
    assert not is_open(operator)


def test_a_session_ends_after_twelve_hours_however_much_it_is_used(operator: Client, later: Later) -> None:
    for _ in range(13):
        later(55)
        assert is_open(operator)
    later(6)
    assert not is_open(operator)


def test_both_times_are_settings(operator: Client, later: Later, settings: Any) -> None:
    settings.STAFF_IDLE_MINUTES, settings.STAFF_SESSION_HOURS = 5, 0.1
    later(2)
    assert is_open(operator)
    later(4.5)
    assert not is_open(operator)


def test_a_page_that_renews_itself_is_no_use(operator: Client, later: Later) -> None:
    assert 'content="20; url=/admin/?renewed"' in operator.get("/admin/").content.decode()
    for _ in range(3):
        later(19)
        assert is_open(operator, "/admin/?renewed")
    later(19)
    assert not is_open(operator, "/admin/?renewed")


def test_a_copied_cookie_ends_with_the_session(operator: Client, later: Later) -> None:
    thief = Client()
    thief.cookies = operator.cookies
    later(61)
    assert not is_open(thief)
    key = operator.cookies["sessionid"].value
    assert not Session.objects.filter(session_key=key, expire_date__gt=timezone.now()).exists()


def test_the_token_of_an_operator_ends_too_and_that_of_a_buyer_does_not(later: Later) -> None:
    make_person(is_staff=True)
    make_person("buyer@example.com")
    operator, buyer = App(), App()
    operator.sign_in()
    buyer.sign_in("buyer@example.com")
    assert (operator.me(), buyer.me()) == (200, 200)
    later(13 * 60)
    assert (operator.me(), buyer.me()) == (401, 200)


def test_a_session_from_before_an_upgrade_ends_too(operator: Client, later: Later) -> None:
    session = operator.session
    del session["amani_staff_session"]
    session.save()
    assert is_open(operator)
    later(61)
    assert not is_open(operator)


def test_use_is_stored_once_a_minute(operator: Client) -> None:
    before = operator.session["amani_staff_session"]
    assert is_open(operator)
    assert operator.session["amani_staff_session"] == before
