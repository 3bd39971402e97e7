"""What may be stored of a vendor's answer: its beginning, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from observability.notifiers.base import VendorResponse

LONGEST = 2000
# Only so much is searched; a vendor's answer is read no further than this either.
SEARCHED = 64 * 1024
REASON_LIMIT = 200
HIDDEN = "[redacted]"
# Below this a "secret" is a word of the language, and hiding it would hide the answer.
SHORTEST_SECRET = 4

_PATTERNS = (
    # Slack's webhook path is its password, whoever's it is.
    (re.compile(r"(?i)(hooks\.slack(?:-gov)?\.com(?:\\?/)+)[^\s\"'<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(xox[a-z]-|xapp-)[\w-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(://)[^\s/@\"'<>]+@"), rf"\1{HIDDEN}@"),
    # key=value, "key": "value", key: value
    (
        re.compile(
            r"(?i)((?:api|access|routing|service|integration|secret)[_-]?key|token|secret|password|signature)"
            r"(\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s&\"'<>,;)}\\]{4,}"
        ),
        rf"\1\2{HIDDEN}",
    ),
)


def redact(text: str, secrets: Iterable[str]) -> str:
    """At most 2,000 characters of `text` that PostgreSQL can store, with no secret in any usual spelling."""
    searched = text[:SEARCHED]
    for secret in _spellings(secrets):
        searched = _without(searched, secret)
    for pattern, replacement in _PATTERNS:
        searched = pattern.sub(replacement, searched)
    storable = searched.replace("\0", "").encode("utf-8", "replace").decode()
    return storable if len(storable) <= LONGEST else storable[: LONGEST - 1] + "…"


def reason_in(response: VendorResponse, secrets: Iterable[str]) -> str:
    """The status and the beginning of what the vendor said, fit to be stored and shown."""
    return f"{response.status} {redact(response.body.strip(), secrets)[:REASON_LIMIT]}".strip()


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Each secret as it is, in a URL, in JSON and in PHP's JSON; longest first: some contain others."""
    spelled: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            in_json = json.dumps(secret)[1:-1]
            spelled |= {secret, quote(secret, safe=""), quote(secret), in_json, in_json.replace("/", "\\/")}
    return sorted(spelled, key=lambda secret: (-len(secret), secret))


def _without(text: str, secret: str) -> str:
    """Also without a beginning of the secret at the very end, where the text was cut."""
    hidden = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    for length in range(len(secret) - 1, 7, -1):
        if hidden.lower().endswith(secret[:length].lower()):
            return hidden[:-length] + HIDDEN
    return hidden
