"""Reads what an operator typed into a search: an id, a public id, or the start of an e-mail address."""

from __future__ import annotations

import re

from django.http import HttpRequest

LONGEST_TERM = 100
LONGEST_ID = 18  # digits: fits a bigint
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def posted_term(request: HttpRequest) -> str:
    return request.POST.get("term", "").replace("\0", "").strip()[:LONGEST_TERM]


def read_id(term: str) -> int | None:
    """Returns the id that `term` is; None for anything else."""
    is_id = term.isascii() and term.isdecimal() and len(term) <= LONGEST_ID
    return int(term) if is_id else None


def is_public_id(term: str) -> bool:
    return UUID.fullmatch(term) is not None
