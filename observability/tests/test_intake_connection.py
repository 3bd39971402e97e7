"""The webhook keeps its database connection and its prepared statement, and outlives the loss of both."""

from typing import Any

import psycopg
import pytest
from django.db import connection

from observability.alerts.intake.ingest import Envelope, store
from observability.alerts.intake.payload import read_payload
from observability.models import Episode, Receipt
from observability.tests.payloads import alert, body

pytestmark = pytest.mark.django_db(transaction=True)


def take_in(number: int) -> None:
    content = body(alert(number))
    store(read_payload(content), Envelope(content))


def end_our_session() -> None:
    """As a restart of PostgreSQL does, unknown to us until the next statement."""
    own = connection.connection.info.backend_pid
    with psycopg.connect(
        connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [own])


def prepared_statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_payloads_are_stored_by_one_prepared_statement() -> None:
    connection.close()
    take_in(1)
    take_in(2)
    assert ["WITH receipt_id" in statement for statement in prepared_statements()] == [True]


def test_payload_is_stored_when_the_kept_connection_was_cut() -> None:
    take_in(1)
    end_our_session()
    take_in(2)
    assert (Episode.objects.count(), Receipt.objects.count()) == (2, 2)


def test_the_first_payload_on_a_kept_connection_is_stored_when_that_was_cut() -> None:
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    end_our_session()
    take_in(1)
    assert Episode.objects.count() == 1


def test_no_statement_is_prepared_without_a_session(settings: Any) -> None:
    connection.close()
    settings.DATABASE_TRANSACTION_POOLING = True
    take_in(1)
    take_in(2)
    assert prepared_statements() == []
