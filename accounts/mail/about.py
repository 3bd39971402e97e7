"""What Amani knows of a mail that its text does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings


@dataclass(frozen=True, slots=True)
class About:
    """Set as `message.about` on a mail before it is sent.

    `kind`: the template's name, which may be logged. `lifetime_seconds`: after that the mail is of no use.
    `person_id`: whose account it is about, if the caller knows.
    """

    kind: str
    lifetime_seconds: int
    person_id: int | None = None


def about_template(template_prefix: str, context: dict[str, Any]) -> About:
    """Describes a mail of django-allauth, which calls the code in its context `code`."""
    return About(
        kind=template_prefix.rpartition("/")[2],
        lifetime_seconds=settings.CODE_LIFETIME_SECONDS
        if "code" in context
        else settings.EMAIL_GIVE_UP_AFTER_SECONDS,
        person_id=getattr(context.get("user"), "pk", None),
    )


def about(message: Any) -> About:
    """What the sender said of the mail, else that it may be sent for as long as a notice."""
    said = getattr(message, "about", None)
    return said if isinstance(said, About) else About("other", settings.EMAIL_GIVE_UP_AFTER_SECONDS)
