"""Keeps codes by mail as hashes in the session.

django-allauth stores a code in clear, and compares it with what the user sends. Here only its keyed hash is
written to the database. When a request brings the right code, the code is put back in memory, so that
django-allauth finds it; otherwise django-allauth compares with "", which no code equals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from allauth.core.internal.httpkit import is_headless_request
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.pending import CODE_FOR_ADDRESS, CODE_FOR_PASSWORD

WITH_CODE = (CODE_FOR_ADDRESS, CODE_FOR_PASSWORD)
HASH = "amani_code_hash"
HEADERS = ("X-Email-Verification-Key", "X-Password-Reset-Key")  # of GET in the headless API


def hash_of(code: str) -> str:
    """Returns the keyed hash of the letters and digits; case, blanks and hyphens do not count."""
    letters = "".join(filter(str.isalnum, code)).lower()
    return salted_hmac("accounts.codes", letters, algorithm="sha256").hexdigest()


def hashed_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data of a session with hashes instead of codes."""
    hashed = dict(data)
    for key in WITH_CODE:
        thing = data.get(key)
        if isinstance(thing, dict) and thing.get("code"):
            hashed[key] = thing | {"code": "", HASH: hash_of(thing["code"])}
    return hashed


def put_back(thing: MutableMapping[str, Any], request: HttpRequest) -> None:
    """Sets the code of what is pending, in memory, if the request brings the right one."""
    sent = sent_with(request)
    if sent and constant_time_compare(thing.get(HASH, ""), hash_of(sent)):
        thing["code"] = sent


def sent_with(request: HttpRequest) -> str:
    """Returns the code that the request brings: of a form, or in the API of JSON or a header; "" without."""
    if is_headless_request(request) is None:
        return request.POST.get("code", "")
    if request.method == "GET":
        return next(filter(None, map(request.headers.get, HEADERS)), "")
    try:
        key = json.loads(request.body)["key"]
    except (ValueError, TypeError, KeyError):
        return ""
    return key if isinstance(key, str) else ""
