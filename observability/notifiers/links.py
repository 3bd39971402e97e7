"""Decides which addresses from labels and annotations may become a link."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

LONGEST_URL = 3000
# What a URL may contain; the rest is percent-encoded: space < > | " ` \ ^ { } and all that is not ASCII.
SAFE = "%/:?#[]@!$&'()*+,;=~-._"


def safe_url(url: str, longest: int = LONGEST_URL) -> str:
    """Returns `url` as it can be put in a link; "" when it must not become one.

    Accepts http and https to a host in ASCII, at most `longest` characters, and without a user name, because
    `https://bank.example@evil.example` misleads the reader.
    """
    if not url or len(url) > longest or not url.isprintable():
        return ""
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname or "", parts.port
        quoted = quote(url.strip(), safe=SAFE)
    except ValueError:  # a broken port or IPv6 address, a lone surrogate
        return ""
    if parts.scheme not in ("http", "https") or not _plain(host) or "@" in parts.netloc:
        return ""
    return quoted if len(quoted) <= longest else ""


def _plain(host: str) -> bool:
    return bool(host) and all(
        character.isascii() and (character.isalnum() or character in "-._:") for character in host
    )
