"""The routes below /_allauth/: django-allauth's for apps and browsers, with Amani's own sign-up.

Before each of them stands a look at the body, so that what can't be a text in the database is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from allauth.headless.constants import Client
from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path

from accounts.sign_up import SignUpView

View = Callable[..., HttpResponseBase]


def checked(view: View) -> View:
    @wraps(view)
    def checked_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        if request.body:
            refuse_unstorable(request.body)
        return view(request, *args, **values)

    return checked_view


def refuse_unstorable(body: bytes) -> None:
    """Raises BadRequest: for what is no JSON, and for NUL and lone surrogates, which JSON can say."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is no JSON.") from None
    for text in texts_in(value):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest("The body has a character that is no text.")


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def check_all(patterns: Iterable[URLPattern | URLResolver]) -> None:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            check_all(pattern.url_patterns)
        else:
            pattern.callback = checked(pattern.callback)


sign_up = [path(f"{client.value}/v1/auth/signup", SignUpView.as_api_view(client=client)) for client in Client]
urlpatterns = [*sign_up, path("", include("allauth.headless.urls"))]
check_all(urlpatterns)
