"""Badges of transfers, and the names of accounts in words, for the admin's pages."""

from __future__ import annotations

from collections.abc import Mapping

from core.console.display import Badge
from escrow.models.chart import AccountKind, TransferKind
from escrow.payments.registry import PROVIDERS

TRANSFER_BADGES = {
    TransferKind.FUNDING: Badge("good", "call_received", "Funding"),
    TransferKind.FUNDING_EXCESS: Badge("warning", "add_circle", "Excess funding"),
    TransferKind.FUNDING_REVERSED: Badge("bad", "undo", "Funding taken back"),
    TransferKind.RELEASE: Badge("good", "handshake", "Release"),
    TransferKind.REFUND: Badge("info", "reply", "Refund"),
    TransferKind.PAYOUT_REQUESTED: Badge("waiting", "hourglass_top", "Payout requested"),
    TransferKind.PAYOUT_SETTLED: Badge("good", "call_made", "Payout settled"),
    TransferKind.PAYOUT_FAILED: Badge("bad", "error", "Payout failed"),
    TransferKind.PAYOUT_RETURNED: Badge("warning", "undo", "Payout returned"),
    TransferKind.CORRECTION: Badge("warning", "edit", "Correction"),
    TransferKind.REVERSAL: Badge("warning", "history", "Reversal"),
}
# `{}` stands for the owner: the id of an escrow or a user, or the name of a provider.
ACCOUNT_WORDS: Mapping[str, str] = {
    AccountKind.ESCROW_HELD: "held for escrow {}",
    AccountKind.SELLER_PAYABLE: "owed to seller {}",
    AccountKind.BUYER_REFUNDABLE: "owed back to buyer {}",
    AccountKind.PAYOUT_IN_TRANSIT: "being paid out to user {}",
    AccountKind.PROVIDER_CLEARING: "at {}",
    AccountKind.PLATFORM_FEE: "fees earned",
    AccountKind.PROVIDER_FEE: "fees of {}",
    AccountKind.SUSPENSE: "received by {}, owner not known",
    AccountKind.CHARGEBACK_LOSS: "lost to reversed payments",
}
OF_PROVIDERS = (AccountKind.PROVIDER_CLEARING, AccountKind.PROVIDER_FEE, AccountKind.SUSPENSE)


def transfer_badge(kind: str) -> Badge:
    return TRANSFER_BADGES[TransferKind(kind)]


def payment_provider(name: str) -> str:
    """Returns the provider's label; its name in old rows of a provider that is gone."""
    known = PROVIDERS.get(name)
    return known.label if known else name


def account_words(kind: str, owner: str) -> str:
    """Returns the account's name as an operator reads it, for example `held for escrow 12`."""
    name = payment_provider(owner) if kind in OF_PROVIDERS else owner
    return ACCOUNT_WORDS[kind].format(name)
