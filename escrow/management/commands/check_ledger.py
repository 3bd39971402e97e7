"""`manage.py check_ledger`: reads the whole ledger and says whether it is right."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from core.commands import ReportingCommand
from escrow.ledger.checks import check_all


class Command(ReportingCommand):
    help = (
        "Check that transfers and balances of the whole ledger agree: after a restore, or in doubt. "
        "Amani may run meanwhile. Exits with 1 if they do not."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = check_all()
        imbalance = ", ".join(f"{total} {currency}" for currency, total in found.imbalance_minor.items())
        self.report(
            options,
            found._asdict(),
            f"{found.transfers} transfers, {found.entries} entries.",
            f"Imbalance (smallest units): {imbalance or 'none'}.",
            f"Transfers whose entries do not add up: {found.unbalanced_transfers}.",
            f"Balances that disagree with their entries: {found.drifting_balances}.",
            f"Customer balances below zero: {found.negative_balances}.",
        )
        if not found.is_right:
            raise CommandError("The ledger is wrong. See docs/runbooks/LedgerImbalance.md.")
