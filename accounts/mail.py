"""Mail to people. What can't be sent costs a second request, never an account or an error page."""

from __future__ import annotations

import structlog
from django.core.mail import EmailMessage

from accounts.metrics import record_mail

LOGGER = structlog.get_logger(__name__)


def send(*, message: EmailMessage, kind: str) -> bool:
    """Whether the mail server took it. `kind` names the template; the rest is not logged."""
    try:
        message.send()
    except OSError as error:  # smtplib's errors are of this kind too
        LOGGER.exception("mail_not_sent", kind=kind, error_type=type(error).__name__, exc_info=False)
        record_mail("failed")
        return False
    record_mail("sent")
    return True
