"""What the application may do with the tables of the ledger: read them, and post."""

from __future__ import annotations

from core import database_roles

TABLES = ("ledger_account_kind", "ledger_account", "ledger_balance", "ledger_transfer", "ledger_entry")
FUNCTIONS = ("ledger_post",)


def register() -> None:
    database_roles.read_only(*TABLES)
    database_roles.may_execute(*FUNCTIONS)
