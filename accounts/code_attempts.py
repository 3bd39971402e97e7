"""Counts attempts at a code by mail atomically.

django-allauth counts them in the session, where of several requests at the same instant the last one wins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.core.internal.httpkit import is_headless_request
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts import codes

View = Callable[..., HttpResponseBase]


def counted(key: str) -> Callable[[View], View]:
    """Returns a decorator for views that compare a code with that under `key` of the session.

    Each attempt takes one of CODE_ATTEMPTS places before the code is compared, and gives it back if the code
    was not wrong. Without a place the code ends. The view finds the code in clear only if the request brings
    it (accounts/codes.py).
    """

    def decorator(view: View) -> View:
        @wraps(view)
        def counted_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
            pending = request.session.get(key)
            if pending is None or is_only_shown(request):
                return view(request, *args, **values)
            place = take_place(request.session, key, pending["at"])
            if place is None:
                del request.session[key]
                return view(request, *args, **values)
            codes.put_back(pending, request)
            failed_before = pending["failed_attempts"]
            response = view(request, *args, **values)
            if pending["failed_attempts"] == failed_before:
                cache.delete(place)
            return response

        return counted_view

    return decorator


def is_only_shown(request: HttpRequest) -> bool:
    """Returns whether the request brings no code. In the API a GET may bring one in a header."""
    return request.method == "GET" and is_headless_request(request) is None


def take_place(session: SessionBase, key: str, began_at: float) -> str | None:
    """Takes a place for an attempt and returns its name, or None if all are taken."""
    code = hashlib.sha256(f"{session.session_key} {key} {began_at}".encode()).hexdigest()
    places = (f"accounts:code:{code}:{number}" for number in range(settings.CODE_ATTEMPTS))
    return next((place for place in places if cache.add(place, 1, settings.CODE_LIFETIME_SECONDS)), None)
