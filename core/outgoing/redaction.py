"""What may be stored of a vendor's answer: its beginning, without secrets."""

from __future__ import annotations

from collections.abc import Iterable

from core.scrubbing import HIDDEN, hide_secrets, scrub_text

LONGEST = 2000
# Only so much is searched; a vendor's answer is read no further than this either.
SEARCHED = 64 * 1024
REASON_LIMIT = 200
# Below this a "secret" is a word of the language, and hiding it would hide the answer.
SHORTEST_SECRET = 4
SHORTEST_BEGINNING = 8


def redact(text: str, secrets: Iterable[str]) -> str:
    """At most 2,000 characters of `text` that PostgreSQL can store, with no secret in any usual spelling."""
    known = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
    hidden = hide_secrets(text[:SEARCHED], known)
    for secret in known:
        hidden = without_beginning_at_end(hidden, secret)
    storable = scrub_text(hidden).replace("\0", "").encode("utf-8", "replace").decode()
    return storable if len(storable) <= LONGEST else storable[: LONGEST - 1] + "…"


def reason_of(status: int, body: str, secrets: Iterable[str]) -> str:
    """Returns the status and the beginning of what the vendor said, fit to be stored and shown."""
    return f"{status} {redact(body.strip(), secrets)[:REASON_LIMIT]}".strip()


def without_beginning_at_end(text: str, secret: str) -> str:
    """Where a text was cut, a beginning of the secret may be left at its very end."""
    lowered = text.lower()
    for length in range(len(secret) - 1, SHORTEST_BEGINNING - 1, -1):
        if lowered.endswith(secret[:length].lower()):
            return text[:-length] + HIDDEN
    return text
