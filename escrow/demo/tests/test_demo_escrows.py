"""The demo's escrows get as far as their stories say, by the real services and the sandbox bank."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from escrow.demo import seed_escrows
from escrow.demo.stories import NAIRA, STORIES
from escrow.escrows.tests.deals import TIER_3, verify
from escrow.ledger.checks import check_all
from escrow.models import Collection, Escrow, LedgerTransfer, Payout
from kyc import limits
from kyc.demo.stories import ADAEZE, TUNDE, ZAINAB
from local.bank.server import Bank
from local.ports import find_free_port

pytestmark = pytest.mark.django_db

# As in the demo of KYC, which also uses most of Adaeze's limit of a day.
DOCUMENTS = {TUNDE: TIER_3, ADAEZE: ("nin", "passport"), ZAINAB: ("nin",)}
KEY = "the key of the bank of the tests"


@pytest.fixture(autouse=True)
def _in_development(settings: Any) -> None:
    settings.DEBUG = True
    for person, documents in DOCUMENTS.items():
        verify(User.objects.create_user(person.email, full_name=person.full_name), documents)
    adaeze = User.objects.get(email=ADAEZE.email)
    limits.use(person_id=adaeze.pk, currency="NGN", amount_minor=95_000 * NAIRA)
    limits.use(person_id=adaeze.pk, currency="NGN", amount_minor=92_500 * NAIRA)


@pytest.fixture
def bank(settings: Any) -> Iterator[Bank]:
    server = Bank(find_free_port(), key=KEY)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.PAYMENT_PROVIDER = "sandbox"
    settings.PAYMENT_SANDBOX_URL = f"http://127.0.0.1:{server.server_port}"
    settings.PAYMENT_SANDBOX_KEY = KEY
    yield server
    server.shutdown()
    server.server_close()


def states() -> dict[str, str]:
    found = Escrow.objects.select_related("terms")
    return {escrow.terms.document["title"]: escrow.state for escrow in found if escrow.terms}


@pytest.mark.usefixtures("bank")
def test_the_demo_plays_whole_escrows_through_the_bank() -> None:
    seed_escrows()
    assert {story.buyer for story in STORIES} | {story.seller for story in STORIES} == set(DOCUMENTS)
    assert states() == {
        "Shelves for a market stall": "completed",
        "Logo and brand guide": "completed",
        "Catering for a wedding, 200 guests": "in_progress",
        "Repair of a delivery van": "refunded",
        "Second-hand generator, 5 kVA": "awaiting_funds",
        "Translation of a contract": "proposed",
    }
    assert sorted(Payout.objects.values_list("state", flat=True)) == ["settled", "unknown"]
    assert sorted(Collection.objects.values_list("state", flat=True)) == ["open", *["received"] * 4]
    assert check_all().is_right
    before = LedgerTransfer.objects.count()
    seed_escrows()  # once only
    assert LedgerTransfer.objects.count() == before


def test_without_a_bank_the_demo_s_escrows_wait_for_their_funds(settings: Any) -> None:
    settings.PAYMENT_SANDBOX_KEY = ""
    seed_escrows()
    assert sorted(states().values()) == [*["awaiting_funds"] * 5, "proposed"]
    assert not LedgerTransfer.objects.exists()


def test_a_bank_that_does_not_answer_leaves_the_demo_unfinished(settings: Any, bank: Bank) -> None:
    bank.key = "another"  # it refuses everything
    seed_escrows()
    assert "awaiting_funds" in states().values()
    assert not LedgerTransfer.objects.exists()


def test_the_demo_exists_in_development_only(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(RuntimeError, match="in development only"):
        seed_escrows()
    assert not Escrow.objects.exists()
