"""A release in plain ORM: get, lock, save and create, row by row, with the same effects and checks."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from benchmarks.ledger.releases import ALWAYS
from escrow.models import (
    Escrow,
    LedgerAccount,
    LedgerBalance,
    LedgerEntry,
    LedgerTransfer,
    Milestone,
    MoneyStop,
)
from kyc.models import Case, LimitRule, LimitUsage
from kyc.tiers import tier_of

Line = tuple[LedgerAccount, int]  # an account, and what is added to it


@transaction.atomic
def release_plainly(public_id: UUID, buyer_id: int) -> LedgerTransfer:
    buyer = User.objects.get(pk=buyer_id)
    milestone = Milestone.objects.get(public_id=public_id)
    escrow = Escrow.objects.select_for_update(no_key=True).get(pk=milestone.escrow_id, buyer=buyer)
    milestone = Milestone.objects.select_for_update(no_key=True).get(pk=milestone.pk)
    if milestone.state != "submitted" or escrow.frozen_at or escrow.seller is None:
        raise RuntimeError("It cannot be released.")
    move(milestone, "approve", "release_requested", buyer, auto_release_at=timezone.now())
    if MoneyStop.objects.filter(cleared_at=None).exists():
        raise RuntimeError("The money is stopped.")
    seller_gets = milestone.amount_minor - milestone.seller_fee_minor
    use_limit(escrow.seller, escrow.currency, seller_gets)
    transfer = post(escrow, milestone, buyer, seller_gets)
    move(
        milestone, "release", "released", buyer, auto_release_at=None, closed_at=timezone.now(),
        released_minor=milestone.amount_minor,
    )  # fmt: skip
    if not escrow.milestones.exclude(state="released").exists():
        move(escrow, "complete", "completed", buyer, closed_at=timezone.now())
    return transfer


def move(row: Milestone | Escrow, event: str, state: str, actor: User, **fields: object) -> None:
    row.events.create(event=event, from_state=row.state, to_state=state, actor=actor)
    row.state, row.version, row.state_since = state, row.version + 1, timezone.now()
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()


def use_limit(seller: User, currency: str, amount_minor: int) -> None:
    if Case.objects.filter(person=seller, state="revoked").exists():
        raise RuntimeError("The approval was revoked.")
    rules = LimitRule.objects.filter(
        tier=tier_of(person_id=seller.pk), currency=currency, kind="balance", valid_from__lte=timezone.now()
    )
    cap = rules.latest("valid_from").amount_minor
    LimitUsage.objects.get_or_create(
        person=seller, currency=currency, kind="balance", window_start=ALWAYS, defaults={"cap_minor": cap}
    )
    usage = LimitUsage.objects.select_for_update(no_key=True).get(
        person=seller, currency=currency, kind="balance"
    )
    if usage.used_minor + amount_minor > cap:
        raise RuntimeError("The limit is used up.")
    usage.used_minor += amount_minor
    usage.cap_minor = cap
    usage.save()


def post(escrow: Escrow, milestone: Milestone, buyer: User, seller_gets: int) -> LedgerTransfer:
    fee = milestone.buyer_fee_minor + milestone.seller_fee_minor
    lines = [
        (account("escrow_held", str(escrow.pk), escrow.currency), -seller_gets - fee),
        (account("seller_payable", str(escrow.seller_id), escrow.currency), seller_gets),
        (account("platform_fee", "", escrow.currency), fee),
    ]
    transfer = LedgerTransfer.objects.create(
        kind="release", key=f"milestone:{milestone.pk}:release:{milestone.version}", request_hash=b"",
        entry_count=len(lines), escrow_id=escrow.pk, milestone_id=milestone.pk, actor=buyer,
        event_at=timezone.now(),
    )  # fmt: skip
    lines.sort(key=lambda line: (line[0].is_house, line[0].pk))  # balances are locked in one order
    # In one statement, because the trigger of the table wants all entries of a transfer together.
    LedgerEntry.objects.bulk_create(
        entry(transfer, position, line) for position, line in enumerate(lines, start=1)
    )
    return transfer


def account(kind: str, owner: str, currency: str) -> LedgerAccount:
    opened, _ = LedgerAccount.objects.get_or_create(
        kind_id=kind,
        owner=owner,
        currency=currency,
        defaults={"is_house": kind == "platform_fee", "shards": 1},
    )
    LedgerBalance.objects.get_or_create(
        account=opened, shard=0, defaults={"currency": currency, "floor_minor": 0}
    )
    return opened


def entry(transfer: LedgerTransfer, position: int, line: Line) -> LedgerEntry:
    target, amount_minor = line
    balance = LedgerBalance.objects.select_for_update(no_key=True).get(account=target, shard=0)
    before = balance.posted_minor
    if before + amount_minor < balance.floor_minor:
        raise RuntimeError("There is not enough money.")
    balance.posted_minor += amount_minor
    balance.version += 1
    balance.save()
    return LedgerEntry(
        transfer=transfer, position=position, account=target, shard=0, currency=balance.currency,
        amount_minor=amount_minor, version=balance.version, balance_before_minor=before,
        balance_after_minor=balance.posted_minor,
    )  # fmt: skip
