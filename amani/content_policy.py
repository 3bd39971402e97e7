"""Sets the Content-Security-Policy of every response that has none of its own (ADR 0022).

The browser then runs and loads only what Amani serves: no script, style or form that got into a page.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

HEADER = "Content-Security-Policy"
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Unfold's menus are Alpine, which evaluates the expressions in its attributes: hence 'unsafe-eval'. A case's
# page shows PDF files in a frame.
CONSOLE = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
PAGES_OF_CONSOLE = ("/admin/", "/runbooks/", "/accounts/")

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def content_policy(get_response: GetResponse) -> GetResponse:
    """Returns the middleware, as Django expects it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not (settings.DEBUG and response.status_code >= 400):  # Django's pages for developers have scripts
            response.headers.setdefault(HEADER, policy_of(request.path_info))
        return response

    return middleware


def policy_of(path: str) -> str:
    return CONSOLE if path.startswith(PAGES_OF_CONSOLE) else NOTHING
