"""Shows one image to an operator, after storing a row about the access."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from accounts.models import User
from core.errors import AmaniError, CannotDecrypt
from core.request_id import current_request_id
from kyc.documents.errors import DocumentNotFound, FileDamaged, StorageUnavailable
from kyc.documents.files import read
from kyc.files.kinds import EXTENSIONS, PDF
from kyc.metrics import record_document_failure, record_document_view
from kyc.models import Document, DocumentAccess
from kyc.roles import VIEW_DOCUMENT
from observability.sentry import capture_exception

NOT_SHOWN = (CannotDecrypt, FileDamaged, StorageUnavailable)
# If a browser treats the file as a page, it must not run scripts, load anything, or be framed elsewhere.
# Firefox shows no PDF in a sandbox (Chromium does); scripts and links were removed at the upload.
PDF_POLICY = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
IMAGE_POLICY = f"{PDF_POLICY}; sandbox"


@require_GET  # HEAD would reveal facts about a document without storing an access
def document(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Returns the image. kyc/urls.py wraps this view in `admin_view`, which enforces sign-in and factor."""
    viewer = request.user
    if not isinstance(viewer, User) or not viewer.has_perm(VIEW_DOCUMENT):
        raise PermissionDenied
    row = visible(public_id, viewer)
    note_access(row, viewer)
    try:
        content = read(row)
    except DocumentNotFound as gone:
        raise Http404(str(gone)) from gone
    except NOT_SHOWN as error:
        return not_shown(error, row)
    record_document_view()
    return shown(row, content)


def visible(public_id: UUID, viewer: User) -> Document:
    """Returns the row. Raises Http404 if it is deleted, PermissionDenied if it is the viewer's own."""
    row = Document.objects.filter(public_id=public_id, deleted_at=None).select_related("case").first()
    if row is None:
        raise Http404(str(DocumentNotFound()))
    if row.case.person_id == viewer.pk:
        raise PermissionDenied("This is your own document: another reviewer has to check it.")
    return row


def note_access(row: Document, viewer: User) -> None:
    """Commits the access. Raises RuntimeError inside a transaction, which could still be rolled back."""
    with transaction.atomic(durable=True):
        DocumentAccess.objects.create(document=row, actor=viewer, request_id=current_request_id())


def shown(row: Document, content: bytes) -> HttpResponse:
    """Returns the response. The file name has only side and random id, because it is kept by browsers."""
    extension = EXTENSIONS[row.content_type][0]
    name = f"{row.side}-{row.public_id.hex[:8]}.{extension}"
    return HttpResponse(
        content,
        content_type=row.content_type,
        headers={
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Security-Policy": PDF_POLICY if row.content_type == PDF else IMAGE_POLICY,
            **PRIVATE_HEADERS,
        },
    )


PRIVATE_HEADERS = {
    "Cache-Control": "no-store, private",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, noarchive",
}


def not_shown(error: AmaniError, row: Document) -> HttpResponse:
    record_document_failure(error.code)
    capture_exception(error, context={"document_id": row.pk})
    return HttpResponse(
        str(error),
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        content_type="text/plain; charset=utf-8",
        headers=PRIVATE_HEADERS,
    )
