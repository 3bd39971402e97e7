"""Two people who claim one thing at the same instant: one success, one clear refusal, never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import connection, models
from django.test import Client

from accounts.models import User
from accounts.tests.devices import App, make_person
from accounts.tests.test_headless_mfa import signed_in, totp
from core import constraints
from core.errors import Conflict

pytestmark = pytest.mark.django_db

# Only `migrate` writes these tables, one process at a time.
WRITTEN_BY_MIGRATE = {"auth_permission", "auth_group", "django_content_type"}
# Django's session store makes another key when one is taken.
ANSWERED_BY_DJANGO = {"django_session_pkey"}


def unique_constraints() -> Iterator[str]:
    """Yields the name of each, as PostgreSQL reports it. Keys that a sequence makes can not collide."""
    for model in apps.get_models(include_auto_created=True):
        table, pk = model._meta.db_table, model._meta.pk
        if model._meta.proxy or table in WRITTEN_BY_MIGRATE:
            continue
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, table)
        for name, parts in found.items():
            is_of_sequence = parts["primary_key"] and isinstance(pk, models.AutoField)
            if parts["unique"] and not is_of_sequence:
                yield name


def test_every_unique_constraint_has_a_named_answer() -> None:
    names = set(unique_constraints())
    assert len(names) > 20
    missing = names - constraints.answers.keys() - ANSWERED_BY_DJANGO
    assert not missing, f"Name what to answer with core.constraints.register(): {sorted(missing)}"


def test_no_answer_is_for_a_constraint_that_is_gone() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint UNION SELECT relname FROM pg_class"
            # Names that functions give to what they refuse.
            r" UNION SELECT (regexp_matches(prosrc, 'CONSTRAINT = ''(\w+)''', 'g'))[1] FROM pg_proc"
        )
        there = {name for (name,) in cursor.fetchall()}
    assert constraints.answers.keys() <= there


def test_each_answer_is_a_sentence_with_a_code_of_its_own() -> None:
    unique = set(unique_constraints())
    for name, make in constraints.answers.items():
        error = make()
        assert str(error).endswith(".")
        assert error.code not in ("", "error")
        assert isinstance(error, Conflict) or name not in unique


# --- What a person sees ---


@pytest.fixture
def address_is_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another superuser takes the address after the form was checked."""
    save = User.save

    def save_after_another(user: User, *args: Any, **values: Any) -> None:
        if user._state.adding and not User.objects.filter(email=user.email).exists():
            User.objects.bulk_create([User(email=user.email)])
        save(user, *args, **values)

    monkeypatch.setattr(User, "save", save_after_another)


def test_the_second_of_two_superusers_reads_what_happened(
    transactional_db: None, address_is_taken_meanwhile: None
) -> None:
    root = User.objects.bulk_create([User(email="root@example.com", is_staff=True, is_superuser=True)])[0]
    client = Client(raise_request_exception=False)
    client.force_login(root)
    password = "correct horse battery"
    form = {"email": "new@example.com", "password1": password, "password2": password}
    answer = client.post("/admin/accounts/user/add/", form)
    assert answer.status_code == 409
    assert "Another account has this e-mail address since a moment ago." in answer.content.decode()
    assert not User.objects.filter(
        email="new@example.com"
    ).exists()  # the other's was in the same transaction


def test_the_second_of_two_apps_gets_a_code(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_person()
    phone = signed_in(App)
    secret = phone.get("account/authenticators/totp").json["meta"]["secret"]
    save = Authenticator.save

    def save_after_another(row: Authenticator, *args: Any, **values: Any) -> None:
        Authenticator.objects.bulk_create([Authenticator(user=row.user, type=row.type, data=row.data)])
        save(row, *args, **values)

    monkeypatch.setattr(Authenticator, "save", save_after_another)
    answer = phone.post("account/authenticators/totp", code=totp(secret))
    assert (answer.status, answer.json["code"]) == (409, "taken")
    assert not Authenticator.objects.exists()  # the other's was in the same transaction
