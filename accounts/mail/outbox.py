"""Stores the rows of mails in the caller's transaction, deletes them, and re-encrypts their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.mail.about import about
from accounts.mail.letter import Letter, seal
from accounts.models import Mail, User
from core import encryption
from core.doorbell import Doorbell
from core.request_id import current_request_id

DELETED_AT_ONCE = 10_000
LONGEST_DOMAIN = 253

doorbell = Doorbell("accounts.tasks.send_mails")  # a lost ring costs five seconds, until beat's next sweep


def store(messages: Sequence[EmailMessage]) -> int:
    """Stores a row for each recipient of each mail, and starts a worker after the commit.

    Returns the number of mails. Each recipient has a row, because a server may refuse only some of them.
    """
    with transaction.atomic():
        rows = [row for message in messages for row in rows_of(message)]
        Mail.objects.bulk_create(rows)
        transaction.on_commit(doorbell.ring)
    return len(messages)


def pretend_to_store(messages: Sequence[EmailMessage]) -> None:
    """Does the work of `store` and takes it back.

    So the time of a response does not tell whether the mail was left out.
    """
    with transaction.atomic():
        store(messages)
        transaction.set_rollback(True)


def rows_of(message: EmailMessage) -> Iterator[Mail]:
    metadata = about(message)
    now = timezone.now()
    content = as_sent(message)
    for recipient in message.recipients():
        address = parseaddr(recipient)[1]
        yield Mail(
            kind=metadata.kind,
            domain=address.rpartition("@")[2].lower()[:LONGEST_DOMAIN],
            address_hash=hash_of(address, settings.SECRET_KEY),
            person_id=metadata.person_id,
            content=seal(Letter(message.from_email, recipient, content)),
            next_attempt_at=now,
            created_at=now,
            expires_at=now + timedelta(seconds=metadata.lifetime_seconds),
            request_id=current_request_id(),
        )


def as_sent(message: EmailMessage) -> bytes:
    """Returns headers and text. The Message-ID is the same for all attempts, so duplicates are detectable.

    Django would build the Message-ID from the name of this machine, which needs a DNS request.
    """
    if not any(name.lower() == "message-id" for name in message.extra_headers):
        domain = parseaddr(message.from_email)[1].rpartition("@")[2] or "localhost"
        message.extra_headers["Message-ID"] = make_msgid(domain=domain)
    mime: Any = message.message()  # Django's own class, whose as_bytes() accepts `linesep`
    content: bytes = mime.as_bytes(linesep="\r\n")
    return content


def hash_of(address: str, key: str) -> str:
    """Returns the keyed hash by which the mails of an account are found without storing its address."""
    return salted_hmac("accounts.mail", address.lower(), secret=key, algorithm="sha256").hexdigest()


def mails_of(person: User) -> QuerySet[Mail]:
    """Selects every mail about the person or to one of their addresses, waiting ones included."""
    addresses = {person.email, *EmailAddress.objects.filter(user=person).values_list("email", flat=True)}
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    hashes = [hash_of(address, key) for address in addresses for key in keys]
    return Mail.objects.filter(Q(address_hash__in=hashes) | Q(person=person))


def forget(person: User) -> int:
    """Deletes every mail of the person, so that waiting ones are not sent, and returns how many.

    Call it in the erasure's transaction. A mail that a worker is sending at the same time still arrives.
    """
    deleted, _ = mails_of(person).delete()
    return deleted


def collect(person: User) -> list[dict[str, Any]]:
    """Returns the person's mails and their states, for the export."""
    rows = mails_of(person).order_by("pk")
    return [dict(row) for row in rows.values("kind", "domain", "state", "created_at", "finished_at")]


def forget_old(now: datetime | None = None) -> int:
    """Deletes mails that ended EMAIL_HISTORY_DAYS ago, at most 10,000, and returns how many."""
    before = (now or timezone.now()) - timedelta(days=settings.EMAIL_HISTORY_DAYS)
    ids = list(Mail.objects.filter(finished_at__lt=before).values_list("pk", flat=True)[:DELETED_AT_ONCE])
    deleted, _ = Mail.objects.filter(pk__in=ids).delete()
    return deleted


# --- Key rotation ---


def with_content() -> QuerySet[Mail]:
    return Mail.objects.filter(content__isnull=False).only("content")


def rotate_content(mail: Mail) -> bool:
    """Re-encrypts the mail with the first key. Returns False if it has that key, or was sent concurrently.

    Raises CannotDecrypt if no key fits.
    """
    old = bytes(mail.content or b"")
    if encryption.is_current(old):
        return False
    same = Mail.objects.filter(pk=mail.pk, content=old)
    return same.update(content=encryption.rotate(old)) == 1
