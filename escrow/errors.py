"""Errors of escrows. Messages contain no name and no address of the other party."""

from __future__ import annotations

from datetime import datetime

from core.errors import AmaniError, Conflict, Forbidden, Invalid, NotFound, Stale


class EscrowError(AmaniError):
    """Base of this app's errors."""

    code = "escrow_error"


class EscrowNotFound(EscrowError, NotFound):
    """There is none, or it is another person's."""

    code = "escrow_not_found"

    def __init__(self) -> None:
        super().__init__("The escrow does not exist.")


class MilestoneNotFound(EscrowError, NotFound):
    code = "milestone_not_found"

    def __init__(self) -> None:
        super().__init__("The milestone does not exist.")


class StepRefused(EscrowError, Conflict):
    """The table has no such step for this state and part. `what`: for example "escrow"."""

    code = "not_in_this_state"

    def __init__(self, what: str, state: str, event: str, why: str = "") -> None:
        in_words = f"This {what} is {state.replace('_', ' ')}: you cannot {event.replace('_', ' ')} it now"
        super().__init__(f"{in_words}. {why}".rstrip() if why else f"{in_words}. Reload it.")
        self.state = state
        self.event = event


class VersionChanged(EscrowError, Stale):
    """It was changed since the caller read it; `version` is the current one."""

    code = "version_changed"


class NotAllowed(EscrowError, Forbidden):
    code = "not_allowed"

    def __init__(self, why: str = "You may not do this.") -> None:
        super().__init__(why)


class OwnEscrow(EscrowError, Forbidden):
    """An operator is a party of this escrow."""

    code = "own_escrow"

    def __init__(self) -> None:
        super().__init__("You are a party of this escrow: another operator has to do this.")


class Frozen(EscrowError, Conflict):
    code = "frozen"

    def __init__(self) -> None:
        super().__init__("This escrow is frozen while we look into it. No money leaves it until then.")


class Short(EscrowError, Conflict):
    """A payment was taken back: the escrow holds less than its milestones say. `short`: by how much."""

    code = "escrow_short"

    def __init__(self, short: str) -> None:
        super().__init__(
            f"{short} of its money was taken back and is missing. It goes on when the buyer has paid that in;"
            " or end it with what it holds."
        )


class NotShort(EscrowError, Conflict):
    code = "escrow_not_short"

    def __init__(self) -> None:
        super().__init__("Nothing of its money is missing. Unfreeze it, and let the parties end it.")


class CannotReceive(EscrowError, Conflict):
    """The other party cannot receive this money at the moment; why is not told."""

    code = "cannot_receive"

    def __init__(self) -> None:
        super().__init__(
            "The seller cannot receive this amount at the moment. The money stays in the escrow; approve the"
            " milestone, and it is released as soon as that is possible."
        )


# --- What a person writes ---


class WrongInput(EscrowError, Invalid):
    """One field is wrong; `field` is its name as the caller wrote it."""

    code = "wrong_input"

    def __init__(self, why: str, field: str) -> None:
        super().__init__(why, fields={field: [why]})
        self.field = field


class WrongText(WrongInput):
    code = "wrong_text"


class WrongAmount(WrongInput):
    code = "wrong_amount"


class AmountBelowFee(WrongInput):
    code = "amount_below_fee"


class WrongCurrency(WrongInput):
    code = "wrong_currency"


class WrongParty(WrongInput):
    """The other party is unknown, erased, or not to be reached."""

    code = "wrong_party"


class SameParty(WrongInput):
    """One person would be both parties."""

    code = "same_party"

    def __init__(self, field: str) -> None:
        super().__init__("You cannot be buyer and seller of one escrow.", field)


class ReasonMissing(WrongInput):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("Write a reason.", "reason")


# --- Fees ---


class WrongFee(EscrowError, Invalid):
    """`fields` names what is wrong with a new rule, by the names of FeeRule."""

    code = "wrong_fee"

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("This can be no fee.", fields=fields)


class FeeTaken(EscrowError, Conflict):
    code = "fee_taken"

    def __init__(self) -> None:
        super().__init__("A fee from that time exists already and cannot be changed. Choose another time.")


class FeeUnchanged(EscrowError, Conflict):
    code = "fee_unchanged"

    def __init__(self) -> None:
        super().__init__("This is already the fee of that time.")


# --- Agreeing ---


class TermsChanged(EscrowError, Conflict):
    """The hash is not the one of the current terms."""

    code = "terms_changed"

    def __init__(self) -> None:
        super().__init__(
            "These are not the current terms. Read the current ones, then agree to their hash.",
            fields={"terms_hash": ["This is not the hash of the current terms."]},
        )


class TooManyVersions(EscrowError, Conflict):
    code = "too_many_versions"

    def __init__(self, most: int) -> None:
        super().__init__(f"These terms were written {most} times. Go on with them, or begin a new escrow.")


class OwnTerms(EscrowError, Conflict):
    code = "own_terms"

    def __init__(self) -> None:
        super().__init__("You proposed these terms, so you have agreed to them. The other party answers.")


class Expired(EscrowError, Conflict):
    code = "expired"

    def __init__(self, at: datetime) -> None:
        super().__init__(f"The time for this ended at {at:%Y-%m-%d %H:%M} UTC. Propose a new escrow.")


# --- Invitations ---


class InvitationNotFound(EscrowError, NotFound):
    code = "invitation_not_found"

    def __init__(self) -> None:
        super().__init__("This invitation does not exist. Copy the whole link from the mail.")


class InvitationExpired(EscrowError, Conflict):
    code = "invitation_expired"

    def __init__(self) -> None:
        super().__init__("This invitation has expired or was withdrawn. Ask for a new one.")


class InvitationUsed(EscrowError, Conflict):
    code = "invitation_used"

    def __init__(self) -> None:
        super().__init__("This invitation has been accepted already.")


class InvitationForAnother(EscrowError, Forbidden):
    code = "invitation_for_another"

    def __init__(self) -> None:
        super().__init__(
            "This invitation was sent to another e-mail address. Sign in with the account that has verified"
            " that address, or add and verify it."
        )


class TooManyInvitations(EscrowError, Conflict):
    code = "too_many_invitations"

    def __init__(self) -> None:
        super().__init__("You have sent many invitations today. Send the next one tomorrow.")
