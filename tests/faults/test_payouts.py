"""kill -9 between each two steps of a payout: the bank pays each once, and every payout ends as it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests

from local.bank.book import Entry
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.faults.bank import HeldBank, Hold
from tests.installation import Installation, kill, run_command

pytestmark = [pytest.mark.faults, pytest.mark.processes]

AMOUNT = 10_000
EARNED = 100_000
MAKE = f"""
import json
from amani.tests.people import token_of
from escrow.escrows.tests.deals import make_party
from escrow.ledger.tests.books import owe
from django.db import transaction
person = make_party()
with transaction.atomic():
    owe(person.pk, {EARNED})
print(json.dumps([person.pk, token_of(person)]))
"""


class Payee:
    """A person with money that may be paid out, who asks the API for it."""

    def __init__(self, installation: Installation) -> None:
        made = run_command(installation, "shell", "-v", "0", "-c", MAKE)
        assert made.returncode == 0, made.stderr
        self.pk, self.token = json.loads(made.stdout.splitlines()[-1])
        self.installation = installation

    def ask(self, key: str, amount_minor: int = AMOUNT) -> dict[str, Any]:
        """Returns the answer; sends the same again until one comes, as a client does."""
        answers: list[dict[str, Any]] = []

        def try_once() -> bool:
            try:
                response = requests.post(
                    f"{self.installation.url}/api/v1/payouts",
                    json={
                        "source": "payable",
                        "amount": {"amount_minor": amount_minor, "currency": "NGN"},
                        "destination": {
                            "bank_code": "058",
                            "account_number": "0123456789",
                            "account_name": "Ada Obi",
                        },
                    },
                    headers={"X-Session-Token": self.token, "Idempotency-Key": key},
                    timeout=ANSWER_SECONDS,
                )
            except requests.RequestException:
                return False
            if response.status_code >= 500:
                return False
            assert response.status_code == 201, response.text
            answers.append(response.json())
            return True

        assert wait_until(try_once), self.installation.log("web")
        return answers[-1]

    def balance(self, kind: str) -> int:
        rows = self.installation.rows(
            "SELECT sum(posted_minor) FROM ledger_balance JOIN ledger_account ON id = account_id"
            " WHERE owner = %s AND kind = %s",
            str(self.pk),
            kind,
        )
        return int(rows[0][0] or 0)


@pytest.fixture(scope="module")
def payee(running_installation: Installation) -> Payee:
    running_installation.start()
    return Payee(running_installation)


def reference_of(installation: Installation, payout_id: str) -> str:
    rows = installation.rows("SELECT reference FROM escrow_payout WHERE public_id = %s", payout_id)
    return str(rows[0][0])


def time_passes(installation: Installation) -> None:
    """Two minutes pass for every payout: leases end, and what failed is tried again."""
    installation.rows(
        "UPDATE escrow_payout SET lease_until = least(lease_until, now()), next_attempt_at = now(),"
        " first_sent_at = first_sent_at - %(passed)s, last_sent_at = last_sent_at - %(passed)s"
        " WHERE finished_at IS NULL RETURNING 1".replace("%(passed)s", "interval '2 minutes'")
    )


def states(installation: Installation, payee: Payee) -> list[str]:
    rows = installation.rows("SELECT state FROM escrow_payout WHERE user_id = %s ORDER BY id", payee.pk)
    return [state for (state,) in rows]


def restart_what_died(installation: Installation) -> None:
    installation.postgres.start()
    for program in (installation.web, installation.worker, installation.beat):
        if not program.is_running:
            program.start()


def waiters(installation: Installation) -> int:
    """Returns how many sessions wait for a lock that another one holds."""
    rows = installation.rows("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(rows[0][0])


@pytest.fixture
def quiet_bank(bank: HeldBank) -> Iterator[HeldBank]:
    yield bank
    bank.fault = ""
    bank.end()


def test_a_payout_survives_the_death_of_each_process_between_its_steps(
    installation: Installation, payee: Payee, quiet_bank: HeldBank
) -> None:
    bank = quiet_bank
    keys = [f"payout-{uuid4()}" for _ in range(5)]

    # The web process dies in the transaction that holds the money: the client sends the same again.
    with psycopg.connect(installation.database_url) as other:
        other.execute("SELECT FROM ledger_balance WHERE floor_minor = 0 FOR UPDATE")
        asking = threading.Thread(target=payee.ask, args=(keys[0],))
        asking.start()
        assert wait_until(lambda: waiters(installation) > 0), installation.log("web")
        kill(installation.web)
        other.rollback()
    restart_what_died(installation)
    asking.join(ANSWER_SECONDS * 4)
    assert not asking.is_alive()
    first = payee.ask(keys[0])
    assert len(states(installation, payee)) == 1

    # The worker dies before the bank has the request.
    bank.begin(Hold.LOSE)
    second = payee.ask(keys[1])
    assert wait_until(bank.arrived.is_set), installation.log("worker")
    kill(installation.worker)
    bank.end()
    restart_what_died(installation)

    # The worker dies when the bank has paid and has not answered.
    bank.fault = "hang"
    third = payee.ask(keys[2])
    reference = reference_of(installation, third["id"])
    assert wait_until(lambda: bank.has(reference)), installation.log("worker")
    kill(installation.worker)
    restart_what_died(installation)

    # The worker dies when the bank has answered, before that is recorded.
    bank.begin(Hold.ANSWER_LATE)
    fourth = payee.ask(keys[3])
    assert wait_until(bank.arrived.is_set), installation.log("worker")
    with psycopg.connect(installation.database_url) as other:
        other.execute("SELECT FROM escrow_payout WHERE public_id = %s FOR UPDATE", [fourth["id"]])
        bank.end()
        assert wait_until(lambda: waiters(installation) > 0), installation.log("worker")
        kill(installation.worker)
        other.rollback()
    restart_what_died(installation)

    # PostgreSQL dies when the bank has paid and has not answered.
    bank.fault = "hang"
    fifth = payee.ask(keys[4])
    reference = reference_of(installation, fifth["id"])
    assert wait_until(lambda: bank.has(reference)), installation.log("worker")
    installation.disconnect()
    installation.postgres.kill()
    restart_what_died(installation)

    payouts = [first, second, third, fourth, fifth]
    references = {reference_of(installation, payout["id"]) for payout in payouts}
    assert len(references) == len(payouts)

    def all_settled() -> bool:
        restart_what_died(installation)
        time_passes(installation)
        bank.confirm_all()
        return states(installation, payee) == ["settled"] * len(payouts)

    assert wait_until(all_settled), (states(installation, payee), installation.log("worker"))
    paid = [entry for entry in bank.payouts() if entry.reference in references]
    assert sorted(entry.reference for entry in paid) == sorted(references)
    assert sum(entry.amount_minor for entry in paid) == AMOUNT * len(payouts)
    assert [answer["id"] for answer in map(payee.ask, keys)] == [payout["id"] for payout in payouts]
    assert payee.balance("seller_payable") == EARNED - AMOUNT * len(payouts)
    assert payee.balance("payout_in_transit") == 0
    assert strangers(bank, installation) == []
    checked = run_command(installation, "check_ledger")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def strangers(bank: HeldBank, installation: Installation) -> list[Entry]:
    """Returns what the bank has paid that no payout of the installation asked for."""
    known = {reference for (reference,) in installation.rows("SELECT reference FROM escrow_payout")}
    return [entry for entry in bank.payouts() if entry.reference not in known]
