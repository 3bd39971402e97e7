"""Errors of KYC cases. Messages contain no document numbers and no names."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.errors import AmaniError, Conflict, Forbidden, Invalid, NotFound


class KycError(AmaniError):
    """Base of this app's errors."""

    code = "kyc_error"


class CaseNotFound(KycError, NotFound):
    code = "case_not_found"

    def __init__(self) -> None:
        super().__init__("The case does not exist.")


class CaseOpen(KycError, Conflict):
    """The person has an open case; `public_id` is its id, if known."""

    code = "case_open"

    def __init__(self, public_id: UUID | None = None) -> None:
        which = f" ({public_id})" if public_id else ""
        super().__init__(
            f"You have an open case{which}. Wait for its decision, or withdraw it and submit again."
        )
        self.public_id = public_id


class NotInThisState(KycError, Conflict):
    code = "not_in_this_state"

    def __init__(self, state: str, event: str, why: str = "") -> None:
        words = f"A case that is {state.replace('_', ' ')} has no step “{event.replace('_', ' ')}”"
        super().__init__(f"{words}: {why}." if why else f"{words}. Reload it: its state may have changed.")
        self.state = state
        self.event = event


class OwnCase(KycError, Forbidden):
    code = "own_case"

    def __init__(self) -> None:
        super().__init__("This is your own case: another operator has to decide on it.")


class NotAllowed(KycError, Forbidden):
    code = "not_allowed"

    def __init__(self, why: str = "You may not do this.") -> None:
        super().__init__(why)


class ClaimedByAnother(KycError, Conflict):
    code = "claimed_by_another"

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"Another reviewer has claimed this case until {until:%Y-%m-%d %H:%M} UTC. Take another one."
        )
        self.until = until


class ReasonMissing(KycError, Invalid):
    """A reason is missing; `fields` names reason_code or reason."""

    code = "reason_missing"


class DuplicateNumber(KycError, Conflict):
    """Another case has the same number: the reviewer must write a reason to approve."""

    code = "duplicate_number"

    def __init__(self) -> None:
        super().__init__(
            "Another account claims the same document number. Compare the two; "
            "approve with a reason, or reject as a duplicate."
        )


class WrongNumber(KycError, Invalid):
    code = "wrong_number"

    def __init__(self, why: str) -> None:
        super().__init__(why, fields={"number": [why]})


class WrongCountry(KycError, Invalid):
    code = "wrong_country"

    def __init__(self, why: str) -> None:
        super().__init__(why, fields={"country": [why]})


class WrongDocumentType(KycError, Invalid):
    code = "wrong_document_type"

    def __init__(self, why: str) -> None:
        super().__init__(why, fields={"document_type": [why]})


class ImagesMissing(KycError, Invalid):
    code = "images_missing"

    def __init__(self, sides: list[str]) -> None:
        super().__init__(
            f"This document needs more images: {', '.join(sides)}.",
            fields={side: ["This image is required."] for side in sides},
        )


class ImageIsNoFile(KycError, Invalid):
    code = "image_is_no_file"

    def __init__(self, side: str) -> None:
        message = "Send the image as a file with a file name, not as text."
        super().__init__(message, fields={side: [message]})


class CannotReprocess(KycError, Conflict):
    """A provider's callback cannot be processed again."""

    code = "cannot_reprocess"
