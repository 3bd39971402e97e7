"""Tests that the queue and a case's page use few, indexed queries with 100,000 cases."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.tests.plans import rows_read, statements_of
from kyc.tests import people

pytestmark = pytest.mark.django_db

CASES = "/admin/kyc/case/"
# What some years leave behind: 98,000 refusals, and 2,000 people who wait, ten of whom claim each number.
INSERT = """
INSERT INTO accounts_user (email, password, is_superuser, full_name, is_staff, is_active, date_joined)
SELECT 'many-' || n || '@example.com', '', false, '', false, true, now() FROM generate_series(1, 2000) n;
INSERT INTO kyc_case (public_id, person_id, document_type, country, number_encrypted, number_hash,
    number_last, state, version, provider, created_at, submitted_at, decided_at, reason_code, reason)
SELECT gen_random_uuid(), id, 'passport', 'NG', '', md5((n * 1000 + id % 200)::text),
    '1234', CASE n WHEN 1 THEN 'submitted' ELSE 'rejected' END, 1, 'manual', now(),
    now() - n * interval '1 day' - id * interval '1 minute', now(), 'other', ''
FROM accounts_user, generate_series(1, 50) n WHERE email LIKE 'many-%';
INSERT INTO kyc_caseevent (case_id, at, event, from_state, to_state, provider, reason_code, reason,
    request_id)
SELECT id, now(), 'reject', 'in_review', 'rejected', '', '', '', '' FROM kyc_case WHERE id % 10 = 0;
ANALYZE accounts_user, kyc_case, kyc_caseevent;
"""
MOST_ROWS_READ = 25_000  # counting stops at 10,000 rows


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(people.make_reviewer("rita"))
    return client


def fill() -> None:
    with connection.cursor() as cursor:
        cursor.execute(INSERT)


def statements_of_search(client: Client, term: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.post(f"{CASES}find/", {"term": term}).status_code == 303
    return [query["sql"] for query in queries if query["sql"].startswith("SELECT")]


def test_pages_and_searches_over_100_000_cases_read_few_rows(browser: Client) -> None:
    people.rejected(people.make_reviewer())
    page = f"{CASES}{people.submitted(number='A99999999').pk}/change/"
    people.submitted(number="A99999999")  # so that no list is empty: an empty one asks for no checks
    addresses = (CASES, f"{CASES}?state=all", f"{CASES}?state=rejected", page, "/admin/")
    few = {address: len(statements_of(browser, address)) for address in addresses}
    fill()
    for address, count in few.items():
        statements = statements_of(browser, address)
        assert len(statements) == count, address
        assert_few_rows(statements)
    assert len(statements_of(browser, f"{CASES}?flag=duplicate")) == few[CASES]  # reads all live claims once
    for term in ("many-471@", "many-47", "A12345678", "4711"):
        assert_few_rows(statements_of_search(browser, term))


def assert_few_rows(statements: list[str]) -> None:
    for statement in statements:
        read, plan = rows_read(statement)
        assert read <= MOST_ROWS_READ, (read, statement, plan)
        if "submitted_at" in statement.partition("ORDER BY")[2]:
            assert "case_queue_oldest_first" in plan
