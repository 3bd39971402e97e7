"""Serves /api/v1/kyc: users submit documents and read their cases and status. Numbers are masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import File, Form, Query, Router, Schema, UploadedFile
from pydantic import ConfigDict, Field

from accounts.api import person_of
from kyc import cases
from kyc.cases import selectors
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.cases.status import Next, Status, status_of
from kyc.document_types import described
from kyc.documents import received
from kyc.errors import ImageIsNoFile
from kyc.models import Case, Document, DocumentType, LimitKind, RejectionReason, Side, State

router = Router()

IMAGES = "A JPEG, PNG or PDF, judged by its content. Stored encrypted, without metadata."
NUMBER = "As printed; spaces and hyphens are ignored. Responses contain only its last characters."
COUNTRY = "Country of the document, ISO 3166-1 alpha-2."
MOST_CASES = 100
Image = Annotated[UploadedFile | None, File(description=IMAGES)]


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class Submission(Schema):
    document_type: DocumentType
    country: str = Field(min_length=2, max_length=2, description=COUNTRY, examples=["NG"])
    number: str = Field(min_length=1, max_length=64, description=NUMBER, examples=["A01234567"])


class Resubmission(Schema):
    """Fields that are not sent stay unchanged."""

    document_type: DocumentType | None = None
    country: str | None = Field(None, min_length=2, max_length=2, description=COUNTRY, examples=["NG"])
    number: str | None = Field(None, min_length=1, max_length=64, description=NUMBER, examples=["A01234567"])


class ImageShown(Strict):
    side: Side
    content_type: str = Field(examples=["image/jpeg"])
    size: int = Field(description="Bytes, without metadata.")
    created_at: datetime


class CaseShown(Strict):
    id: UUID
    state: State
    document_type: DocumentType
    country: str
    number: str = Field(description="Masked; empty after erasure.", examples=["•••••••567"])
    created_at: datetime
    submitted_at: datetime | None
    decided_at: datetime | None
    expires_at: datetime | None = Field(description="When the approval ends.")
    reason_code: RejectionReason | None = Field(description="Why it was rejected or sent back.")
    reason: str = Field(description="The reason as text for you.")
    images: list[ImageShown] = Field(description="The current images, without their content.")
    steps: list[Event] = Field(description="What you can do with the case now.")


class CasePage(Strict):
    items: list[CaseShown]
    next: UUID | None = Field(description="The `cursor` of the next page; null on the last.")


class LimitShown(Strict):
    """One limit. Amounts are in the currency's smallest unit: kobo, cent."""

    currency: str = Field(examples=["NGN"])
    kind: LimitKind = Field(description="One payment, a day (UTC), a calendar month (UTC), or a balance.")
    limit_minor: int
    used_minor: int
    remaining_minor: int


class StatusShown(Strict):
    tier: int = Field(description="Your tier, which decides your limits: 0 until a document is approved.")
    case: UUID | None = Field(description="The case that `next` refers to.")
    next: Next
    message: str = Field(description="`next` as text.")
    valid_until: datetime | None = Field(description="When your last approval ends.")
    next_tier: str = Field(description="How to reach the next tier; empty at the highest.")
    limits: list[LimitShown] = Field(description="How much money you may move in your tier.")


def shown(case: Case) -> CaseShown:
    """Returns the case for its person, without the reason of an approval, which is for reviewers."""
    is_refused = case.state != State.APPROVED
    return CaseShown(
        id=case.public_id,
        state=State(case.state),
        document_type=DocumentType(case.document_type),
        country=case.country,
        number=selectors.masked_number(case),
        created_at=case.created_at,
        submitted_at=case.submitted_at,
        decided_at=case.decided_at,
        expires_at=case.expires_at,
        reason_code=RejectionReason(case.reason_code) if case.reason_code and is_refused else None,
        reason=case.reason if is_refused else "",
        images=[image_shown(image) for image in case.documents.all() if selectors.is_current(image)],
        steps=[] if selectors.is_final(case) else TRANSITIONS.events_for(case.state, Who.PERSON),
    )


def image_shown(image: Document) -> ImageShown:
    return ImageShown(
        side=Side(image.side), content_type=image.content_type, size=image.size, created_at=image.created_at
    )


def contents(request: HttpRequest, uploads: Mapping[Side, UploadedFile | None]) -> dict[Side, bytes]:
    """Returns the uploaded files by side. Raises a FileRefused.

    Raises ImageIsNoFile for an image sent as text, because Ninja would ignore it silently.
    """
    for side in Side:
        if side in request.POST:
            raise ImageIsNoFile(side)
    return {
        side: received(upload=upload, side=side) for side, upload in uploads.items() if upload is not None
    }


@router.post(
    "/cases",
    response={201: CaseShown},
    operation_id="submit_case",
    summary="Submit a document",
    description="Opens a case, or continues your draft (then you need not send stored images again). "
    "You can have one open case: otherwise the response is 409 with its id, so a retry is safe. "
    "503 `busy` means that other images are being read: send the same again after `Retry-After` seconds.\n\n"
    + described(),
)
def submit_case(
    request: HttpRequest,
    response: HttpResponse,
    submission_: Form[Submission],
    front: Image = None,
    back: Image = None,
    selfie: Image = None,
) -> CaseShown:
    images = contents(request, {Side.FRONT: front, Side.BACK: back, Side.SELFIE: selfie})
    case = cases.submit(person=person_of(request), images=images, **submission_.model_dump())
    response.headers["Location"] = f"{request.path}/{case.public_id}"
    return shown(case)


@router.get("/cases", response=CasePage, operation_id="list_cases", summary="Your cases, the newest first")
def list_cases(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=MOST_CASES)] = 20,
    cursor: UUID | None = None,
) -> CasePage:
    found = selectors.cases_of(person_of(request), limit=limit + 1, before=cursor)
    page = found[:limit]
    following = page[-1].public_id if len(found) > limit else None
    return CasePage(items=[shown(case) for case in page], next=following)


@router.get("/cases/{uuid:id}", response=CaseShown, operation_id="show_case", summary="One of your cases")
def show_case(request: HttpRequest, id: UUID) -> CaseShown:  # noqa: A002  (the path's own name)
    return shown(selectors.own_case(person_of(request), id))


@router.post(
    "/cases/{uuid:id}/resubmit",
    response=CaseShown,
    operation_id="resubmit_case",
    summary="Submit a rejected case again",
    description="Send only what changes. Another type or country means another document: then send its "
    "number and all of its images.",
)
def resubmit_case(
    request: HttpRequest,
    id: UUID,  # noqa: A002
    submission_: Form[Resubmission],
    front: Image = None,
    back: Image = None,
    selfie: Image = None,
) -> CaseShown:
    images = contents(request, {Side.FRONT: front, Side.BACK: back, Side.SELFIE: selfie})
    change = submission_.model_dump()
    return shown(cases.resubmit(person=person_of(request), public_id=id, images=images, **change))


@router.post(
    "/cases/{uuid:id}/withdraw",
    response=CaseShown,
    operation_id="withdraw_case",
    summary="Withdraw a case",
    description="Possible until it is decided. Deletes its images; the case becomes a draft that you can "
    "submit again.",
)
def withdraw_case(request: HttpRequest, id: UUID) -> CaseShown:  # noqa: A002
    return shown(cases.withdraw(person=person_of(request), public_id=id))


@router.get("/status", response=StatusShown, operation_id="show_status", summary="Your status")
def show_status(request: HttpRequest) -> Status:
    return status_of(person_of(request))
