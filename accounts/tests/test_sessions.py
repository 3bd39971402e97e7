"""Tests that ended sessions are deleted, and no others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import sessions
from accounts.tasks import forget_ended_sessions
from accounts.tests.devices import App, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def phones() -> list[App]:
    """Three that signed in yesterday."""
    make_person()
    phones = [App() for _ in range(3)]
    for phone in phones:
        phone.sign_in()
    UserSession.objects.update(created_at=timezone.now() - timedelta(days=1))
    return phones


def test_sessions_that_expired_or_were_ended_are_forgotten(phones: list[App]) -> None:
    expired, ended, living = phones
    Session.objects.filter(pk=expired.token).update(expire_date=timezone.now() - timedelta(seconds=1))
    ended.delete("auth/session")
    living_token = living.token
    forget_ended_sessions()
    assert list(Session.objects.values_list("pk", flat=True)) == [living_token]
    assert list(UserSession.objects.values_list("session_key", flat=True)) == [living_token]
    assert living.me() == 200


def test_a_session_that_has_just_begun_is_left_alone(phones: list[App]) -> None:
    UserSession.objects.update(created_at=timezone.now())
    Session.objects.all().delete()
    assert sessions.forget_ended() == 0
    assert UserSession.objects.count() == 3


def test_one_go_deletes_no_more_than_its_share(phones: list[App], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH_SIZE", 2)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert sessions.forget_ended() == 4
    assert (Session.objects.count(), UserSession.objects.count()) == (1, 1)
