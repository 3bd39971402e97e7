"""Decides which addresses from labels and annotations may become a link."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit

LONGEST_URL = 3000
# What a URL may contain; the rest is percent-encoded: space < > | " ` \ ^ { } and all that is not ASCII.
SAFE = "%/:?#[]@!$&'()*+,;=~-._"
PLAIN_HOST = re.compile(r"[A-Za-z0-9._:-]+")


def safe_url(url: str, longest: int = LONGEST_URL) -> str:
    """Returns `url` as it can be put in a link; "" when it must not become one.

    Accepts http and https to a host in ASCII, at most `longest` characters, and without a user name, because
    `https://bank.example@evil.example` misleads the reader.
    """
    if not url or len(url) > longest:
        return ""
    quoted = _quoted(url)
    return quoted if len(quoted) <= longest else ""


@lru_cache(maxsize=512)  # all alerts of a rule have its links, and each is asked about several times
def _quoted(url: str) -> str:
    """`url`, percent-encoded; "" when it should not be a link. At most LONGEST_URL characters."""
    if not url.isprintable():
        return ""
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname or "", parts.port
        quoted = quote(url.strip(), safe=SAFE)
    except ValueError:  # a broken port or IPv6 address, a lone surrogate
        return ""
    is_plain = PLAIN_HOST.fullmatch(host) is not None and "@" not in parts.netloc
    return quoted if is_plain and parts.scheme in ("http", "https") else ""
