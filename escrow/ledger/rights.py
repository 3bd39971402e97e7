"""What the application may do with the tables of the ledger: read them, and post.

It can leave out no trigger of any table of escrow.
"""

from __future__ import annotations

from django.apps import apps

from core import database_roles, kept_triggers

TABLES = ("ledger_account_kind", "ledger_account", "ledger_balance", "ledger_transfer", "ledger_entry")
FUNCTIONS = ("ledger_post",)


def register() -> None:
    database_roles.read_only(*TABLES)
    database_roles.may_execute(*FUNCTIONS)
    models = apps.get_app_config("escrow").get_models()
    kept_triggers.keep(*(model._meta.db_table for model in models))  # noqa: SLF001  (public, by Django's docs)
