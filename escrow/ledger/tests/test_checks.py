"""A ledger that is wrong, because its triggers were off while it was changed, is called wrong."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from escrow.ledger.checks import Findings, check_all
from escrow.ledger.tests.books import fund

pytestmark = pytest.mark.django_db

RIGHT = Findings(2, 4, {}, 0, 0, 0)


@pytest.fixture
def _two_fundings() -> None:
    fund(1, 1_000)
    fund(1, 500)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def change(sql: str) -> None:
    tables = ("ledger_balance", "ledger_entry", "ledger_transfer")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql.replace("HELD", "(SELECT id FROM ledger_account WHERE kind = 'escrow_held')"))


@pytest.mark.usefixtures("_two_fundings")
def test_a_ledger_that_only_the_function_wrote_is_right() -> None:
    assert check_all() == RIGHT
    assert check_all().is_right


# HELD stands for the escrow's account.


@pytest.mark.usefixtures("_two_fundings")
@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (
            "UPDATE ledger_balance SET posted_minor = 1 WHERE account_id = HELD",
            RIGHT._replace(imbalance_minor={"NGN": -1_499}, drifting_balances=1),
        ),
        (
            "UPDATE ledger_balance SET version = 7 WHERE account_id = HELD",
            RIGHT._replace(drifting_balances=1),
        ),
        (
            "DELETE FROM ledger_entry WHERE account_id = HELD AND version = 1",
            RIGHT._replace(entries=3, unbalanced_transfers=1, drifting_balances=1),
        ),
        (
            """UPDATE ledger_entry SET amount_minor = amount_minor + 1,
               balance_after_minor = balance_after_minor + 1 WHERE account_id = HELD AND version = 2""",
            RIGHT._replace(unbalanced_transfers=1, drifting_balances=1),
        ),
        (
            """UPDATE ledger_entry SET balance_before_minor = balance_before_minor + 1,
               balance_after_minor = balance_after_minor + 1 WHERE account_id = HELD AND version = 2""",
            RIGHT._replace(drifting_balances=1),
        ),
    ],
)
def test_what_is_wrong_is_found(sql: str, found: Findings) -> None:
    change(sql)
    assert check_all() == found
    assert not found.is_right


@pytest.mark.usefixtures("_two_fundings")
def test_a_negative_balance_of_a_customer_is_found() -> None:
    change(
        "ALTER TABLE ledger_balance DROP CONSTRAINT a_balance_never_goes_below_its_floor;"
        "UPDATE ledger_balance SET posted_minor = -1 WHERE account_id = HELD"
    )
    assert check_all().negative_balances == 1


@pytest.mark.usefixtures("_two_fundings")
def test_the_command_reports_and_fails_when_the_ledger_is_wrong() -> None:
    output = StringIO()
    call_command("check_ledger", "--json", stdout=output)
    assert json.loads(output.getvalue())["transfers"] == 2
    change("UPDATE ledger_balance SET posted_minor = 1 WHERE account_id = HELD")
    output = StringIO()
    with pytest.raises(CommandError, match="The ledger is wrong"):
        call_command("check_ledger", stdout=output)
    assert "Imbalance (smallest units): -1499 NGN." in output.getvalue()
    assert "disagree with their entries: 1." in output.getvalue()
