"""Grants roles the permissions for escrows, payments, the ledger and stops of the money."""

from __future__ import annotations

from core import roles

VIEW_ESCROW = "escrow.view_escrow"
FREEZE_ESCROW = "escrow.freeze_escrow"
VIEW_FEES = "escrow.view_feerule"
SET_FEES = "escrow.set_fees"
VIEW_STOP = "escrow.view_moneystop"
CLEAR_STOP = "escrow.clear_moneystop"
VIEW_TRANSFER = "escrow.view_ledgertransfer"
VIEW_ACCOUNT = "escrow.view_ledgeraccount"

SEE_ESCROWS = frozenset(
    {
        VIEW_ESCROW,
        "escrow.view_escrowagreement",
        "escrow.view_escrowevent",
        "escrow.view_escrowterms",
        VIEW_FEES,
        "escrow.view_invitation",
        "escrow.view_milestone",
        "escrow.view_milestoneevent",
    }
)
SEE_LEDGER = frozenset({VIEW_TRANSFER, VIEW_ACCOUNT, "escrow.view_ledgerentry"})
REPROCESS_PAYMENT_EVENT = "escrow.reprocess_paymentevent"
VIEW_CONTRADICTION = "escrow.view_contradiction"
CLOSE_CONTRADICTION = "escrow.close_contradiction"

SEE_PAYMENTS = frozenset(
    {
        "escrow.view_collection",
        "escrow.view_collectionevent",
        VIEW_CONTRADICTION,
        "escrow.view_paymentevent",
        "escrow.view_payout",
        "escrow.view_payoutevent",
        "escrow.view_providercall",
    }
)


def register() -> None:
    roles.grant("finance", SEE_ESCROWS, "sees escrows")
    roles.grant("approver", SEE_ESCROWS, "sees escrows")
    roles.grant("approver", {FREEZE_ESCROW}, "freezes escrows")
    roles.grant("approver", {SET_FEES}, "sets fees")
    roles.grant("finance", {VIEW_STOP}, "sees stops of the money")
    roles.grant("approver", {VIEW_STOP}, "sees stops of the money")
    roles.grant("approver", {CLEAR_STOP}, "lets releases and payouts go on")
    for role in ("finance", "approver"):
        roles.grant(role, SEE_LEDGER, "sees the ledger")
    roles.grant("finance", SEE_PAYMENTS, "sees payments and payouts")
    roles.grant("approver", SEE_PAYMENTS, "sees payments and payouts")
    roles.grant("approver", {REPROCESS_PAYMENT_EVENT}, "processes webhooks of payment providers again")
    roles.grant("approver", {CLOSE_CONTRADICTION}, "closes contradictions of payment providers")
