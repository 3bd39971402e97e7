"""Shows one image to an operator. First the row that says who looked, then the image; never the other way."""

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
# Nothing may run, load or frame it elsewhere, should a browser ever take it for a page. Firefox shows no PDF
# in a sandbox (Chromium does); scripts and links were removed when the file was taken in.
PDF_POLICY = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
IMAGE_POLICY = f"{PDF_POLICY}; sandbox"


@require_GET  # also HEAD would tell of a document without a row
def document(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Behind the admin's own door (kyc/urls.py), so that its rules for signing in hold here."""
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
    """What is deleted does not exist any more; one's own document is for others to look at."""
    row = Document.objects.filter(public_id=public_id, deleted_at=None).select_related("case").first()
    if row is None:
        raise Http404(str(DocumentNotFound()))
    if row.case.person_id == viewer.pk:
        raise PermissionDenied("This is your own document: somebody else has to look at it.")
    return row


def note_access(row: Document, viewer: User) -> None:
    """Durable: it would be refused inside a transaction that can still be rolled back."""
    with transaction.atomic(durable=True):
        DocumentAccess.objects.create(document=row, actor=viewer, request_id=current_request_id())


def shown(row: Document, content: bytes) -> HttpResponse:
    """Named by its side and its random id: a file name travels further than the page."""
    extension = EXTENSIONS[row.content_type][0]
    name = f"{row.side}-{row.public_id.hex[:8]}.{extension}"
    return HttpResponse(
        content,
        content_type=row.content_type,
        headers={
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Security-Policy": PDF_POLICY if row.content_type == PDF else IMAGE_POLICY,
            **NOBODY_KEEPS_IT,
        },
    )


NOBODY_KEEPS_IT = {
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
        headers=NOBODY_KEEPS_IT,
    )
