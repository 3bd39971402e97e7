"""Tests the migration that moves what was written about events into rows that can be deleted."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from accounts.models import User
from kyc.models import Case, CaseEventText
from kyc.tests.people import REFUSAL, make_person, make_reviewer, rejected

migration = import_module("kyc.migrations.0006_move_texts_of_events")
pytestmark = pytest.mark.django_db


def in_clear() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM kyc_caseevent WHERE reason <> '' ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def test_texts_move_there_and_back() -> None:
    case = rejected(make_reviewer())
    with connection.schema_editor() as editor:
        migration.move_back(apps, editor)
        assert in_clear() == [REFUSAL["reason"]]
        assert not CaseEventText.objects.exists()

        migration.move(apps, editor)

    assert in_clear() == []
    assert case.events.latest("id").reason == REFUSAL["reason"]


def test_what_earlier_erasures_left_is_deleted() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    Case.objects.filter(pk=case.pk).update(erased_at=case.created_at)
    User.objects.filter(pk=person.pk).update(erased_at=case.created_at)

    with connection.schema_editor() as editor:
        migration.move(apps, editor)

    case.refresh_from_db()
    assert [event.reason for event in case.events.all()] == ["", "", ""]
    assert case.reason == ""
