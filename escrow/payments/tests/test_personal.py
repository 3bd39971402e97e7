"""What is exported, erased and encrypted again of payments."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import transaction

from accounts import erasure
from accounts.errors import CannotErase
from core.errors import AmaniError
from escrow.models import Payout
from escrow.payments import personal
from escrow.payments.base import PayoutStatus
from escrow.payments.destinations import destination_of
from escrow.payments.errors import MayNotReprocess, PayoutEnded
from escrow.payments.payouts import ask_again
from escrow.payments.states import PayoutState
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import ACCOUNT, asked, make_due, rich, run, state_of
from escrow.payments.tests.test_payouts import in_state, report
from kyc.documents.rotation import rotate_keys
from kyc.tests.people import make_approver

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_the_export_has_payouts_without_the_account(fake: FakeProvider) -> None:
    payout = asked(rich())
    (line,) = personal.collect(payout.user)["paid_out"]
    assert (line["amount_minor"], line["state"], line["destination_last"]) == (4_000, "requested", "6789")
    assert "0123456789" not in str(line)


def test_an_open_payout_keeps_the_account_and_an_ended_one_forgets_where_it_went(fake: FakeProvider) -> None:
    fake.first_status = PayoutStatus.SETTLED
    payout = asked(rich(4_000))
    with pytest.raises(CannotErase, match="has not ended"), transaction.atomic():
        erasure.erase_account(user_id=payout.user_id)
    report(payout)
    run()
    assert state_of(payout) == PayoutState.SETTLED
    erasure.erase_account(user_id=payout.user_id)
    payout.refresh_from_db()
    assert (bytes(payout.destination_encrypted), payout.destination_last) == (b"", "")
    assert payout.payment_events.count() == 0
    with pytest.raises(AmaniError, match="closed"):
        asked(payout.user)


def test_an_account_is_encrypted_with_the_new_key(fake: FakeProvider, settings: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "kyc": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    settings.ENCRYPTION_KEYS = [OLD]
    payout = asked(rich())
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    failures: list[str] = []
    assert rotate_keys(report=failures.append).others == 1
    settings.ENCRYPTION_KEYS = [NEW]
    assert (destination_of(Payout.objects.get(pk=payout.pk)), failures) == (ACCOUNT, [])


def test_an_approver_has_an_open_payout_asked_about_now(fake: FakeProvider, rings: list[str]) -> None:
    payout = in_state(fake, PayoutState.UNKNOWN)
    approver = make_approver()
    with pytest.raises(MayNotReprocess):
        ask_again(payout_id=payout.pk, actor=payout.user)
    before = payout.next_attempt_at
    after = ask_again(payout_id=payout.pk, actor=approver).next_attempt_at
    assert before is not None
    assert after is not None
    assert after < before
    make_due()
    fake.transfers[payout.reference].status = PayoutStatus.FAILED
    run()
    with pytest.raises(PayoutEnded):
        ask_again(payout_id=payout.pk, actor=approver)
