"""Metadata of a mail: kind, lifetime and account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings


@dataclass(frozen=True, slots=True)
class About:
    """Metadata, set as `message.about` before a mail is sent.

    `kind`: the template's name, which may be logged. `lifetime_seconds`: after this time the mail is given
    up. `person_id`: the account that it is about, if known.
    """

    kind: str
    lifetime_seconds: int
    person_id: int | None = None


def about_template(template_prefix: str, context: dict[str, Any]) -> About:
    """Returns the metadata of a mail of django-allauth, whose context has `code` if the mail has a code."""
    return About(
        kind=template_prefix.rpartition("/")[2],
        lifetime_seconds=settings.CODE_LIFETIME_SECONDS
        if "code" in context
        else settings.EMAIL_GIVE_UP_AFTER_SECONDS,
        person_id=getattr(context.get("user"), "pk", None),
    )


def about(message: Any) -> About:
    """Returns the mail's metadata; without any, kind "other" with the lifetime of a notice."""
    given = getattr(message, "about", None)
    return given if isinstance(given, About) else About("other", settings.EMAIL_GIVE_UP_AFTER_SECONDS)
