"""Tests that ended sessions are deleted, and no others."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import sessions
from accounts.models import User
from accounts.operators import RESET
from accounts.tasks import forget_ended_sessions
from accounts.tests.devices import EMAIL, App, make_person

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


def lifetime(app: App) -> timedelta:
    return Session.objects.get(pk=app.token).expire_date - timezone.now()


def test_a_session_without_a_user_lasts_as_long_as_a_code(phones: list[App]) -> None:
    asked, newcomer = App(), App()
    asked.post("auth/password/request", email=EMAIL)
    newcomer.sign_up("new@example.com")
    assert max(lifetime(asked), lifetime(newcomer)) <= timedelta(minutes=15)
    assert lifetime(phones[0]) > timedelta(days=13)


def test_an_upgrade_deletes_the_sessions_without_a_user_and_no_other(phones: list[App]) -> None:
    App().post("auth/password/request", email=EMAIL)
    assert Session.objects.count() == 4
    import_module("accounts.migrations.0005_forget_pending_sessions").forget_pending(apps, None)
    assert {phone.token for phone in phones} == set(Session.objects.values_list("pk", flat=True))


def test_an_upgrade_empties_what_was_written_about_erased_accounts() -> None:
    superuser, erased, other = (make_person(f"{name}@example.com") for name in ("root", "erased", "other"))
    LogEntry.objects.log_actions(superuser.pk, [erased, other], CHANGE, f"{RESET}Lost it.")
    User.objects.filter(pk=erased.pk).update(erased_at=timezone.now())
    import_module("accounts.migrations.0005_forget_pending_sessions").empty_reasons(apps, None)
    left = dict(LogEntry.objects.values_list("object_id", "change_message"))
    assert left == {str(erased.pk): RESET, str(other.pk): f"{RESET}Lost it."}


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
