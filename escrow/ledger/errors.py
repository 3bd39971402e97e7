"""What the ledger refuses, by the names of its constraints."""

from __future__ import annotations

from collections.abc import Callable

from core.constraints import AGAIN
from core.errors import AmaniError, Conflict


class LedgerError(AmaniError):
    """Base of the ledger's errors."""

    code = "ledger_error"


class InsufficientFunds(LedgerError, Conflict):
    code = "insufficient_funds"

    def __init__(self) -> None:
        super().__init__("There is less money than this would take. Look at the balance, then ask for less.")


class KeyReused(LedgerError, Conflict):
    """The key was used for a transfer with other legs."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__("This was asked for before, with other amounts. Look at what was done then.")


class AlreadyReversed(LedgerError, Conflict):
    code = "already_reversed"

    def __init__(self) -> None:
        super().__init__("This transfer was reversed already.")


class AlreadyResolved(LedgerError, Conflict):
    """A payout is settled, failed or reversed once."""

    code = "already_resolved"

    def __init__(self) -> None:
        super().__init__("This payout has ended already. Look at its state.")


class CannotReverse(LedgerError, Conflict):
    code = "cannot_reverse"

    def __init__(self) -> None:
        super().__init__("A reversal, or the end of a payout, cannot be reversed.")


class WrongTransfer(LedgerError):
    """A fault of the program: the transfer is none, for example because its legs do not add up."""

    code = "wrong_transfer"

    def __init__(self) -> None:
        super().__init__("The ledger refused a transfer that is none. This is a fault of Amani.")


ERRORS: dict[str, Callable[[], AmaniError]] = {
    "a_balance_never_goes_below_its_floor": InsufficientFunds,
    "a_key_posts_once": AGAIN,  # the posting function finds the first; only its absence shows this
    "a_key_asks_for_one_thing": KeyReused,
    "a_transfer_is_reversed_once": AlreadyReversed,
    "a_hold_is_resolved_once": AlreadyResolved,
    "a_reversal_reverses_a_transfer": CannotReverse,
    "one_account_per_owner": AGAIN,
    "an_account_has_one_currency": AGAIN,
    "an_entry_has_its_place": AGAIN,
    "a_balance_has_each_version_once": AGAIN,
    "ledger_balance_pkey": AGAIN,
    "a_transfer_sums_to_zero": WrongTransfer,
    "a_transfer_has_all_its_entries": WrongTransfer,
    "a_transfer_has_two_entries": WrongTransfer,
    "a_transfer_names_an_account_once": WrongTransfer,
    "a_resolution_takes_what_the_hold_put": WrongTransfer,
    "an_account_is_of_a_kind_in_the_chart": WrongTransfer,
    "an_entry_moves_money": WrongTransfer,
    "an_entry_has_a_possible_amount": WrongTransfer,
    "an_entry_has_the_currency_of_its_account": WrongTransfer,
    "a_balance_has_the_currency_of_its_account": WrongTransfer,
}
