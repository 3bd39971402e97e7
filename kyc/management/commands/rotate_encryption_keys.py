"""`manage.py rotate_encryption_keys`: re-encrypts all data with the first key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from core.commands import ReportingCommand
from kyc.documents.errors import StorageUnavailable
from kyc.documents.rotation import rotate_keys


class Command(ReportingCommand):
    help = (
        "Re-encrypt second factors, numbers, texts, files, waiting mails and what other apps keep "
        "with the first of ENCRYPTION_KEYS, while Amani runs. "
        "If interrupted, run it again to continue. Afterwards the other keys can be removed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = rotate_keys(report=self.stderr.write)
        except StorageUnavailable as error:
            raise CommandError(f"{error} Run this command again to continue.") from error
        self.report(
            options,
            done._asdict(),
            f"Encrypted again: {done.factors} second factors, {done.numbers} numbers, {done.texts} texts, "
            f"{done.files} files, {done.mails} mails, {done.others} others. "
            f"Deleted: {done.swept} files without a row.",
            *([] if done.failed else ["Only the first key is needed now."]),
        )
        if done.failed:
            raise CommandError(
                f"{done.failed} could not be read (see above). Keep the old keys, or accept their loss."
            )
