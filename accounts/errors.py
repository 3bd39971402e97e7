"""Errors of accounts. Each has a stable code."""

from __future__ import annotations

from core import errors


class InvalidProfile(errors.Invalid):
    code = "invalid_profile"

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__(f"Nothing was changed. Correct {', '.join(sorted(fields))}.", fields=fields)


class NameIsFixed(errors.Conflict):
    code = "name_is_fixed"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, fields={"full_name": [reason]})


class AccountClosed(errors.Forbidden):
    code = "account_closed"

    def __init__(self) -> None:
        super().__init__("This account is closed.")


class CannotErase(errors.Conflict):
    """`reasons`: full sentences from the apps that still need the account."""

    code = "cannot_erase"

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(f"The account can't be erased now. {' '.join(reasons)}")
        self.reasons = reasons


class OperatorsStay(errors.Forbidden):
    code = "operators_stay"

    def __init__(self) -> None:
        super().__init__(
            "Operators can't erase their account, because the history refers to it. "
            "A superuser can switch it off."
        )


class ReauthenticationRequired(errors.Forbidden):
    code = "reauthentication_required"

    def __init__(self) -> None:
        super().__init__(
            "This can't be undone. Reauthenticate (auth/reauthenticate), then repeat the request."
        )


class CannotResetSecondFactor(errors.Conflict):
    code = "cannot_reset_second_factor"
