"""Removes characters from the console's pages that are invisible or change the order of a text.

A label may hold U+202E, after which a browser shows the rest of the line backwards, or control characters.
Messages to Slack and PagerDuty are written without them (observability/notifiers/text.py). In the console
such a text can be anywhere: labels, reasons, answers of vendors, names of metrics. So the whole page is
cleaned, and no template can forget it. The raw body of a receipt can be downloaded as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from amani.content_policy import PAGES_OF_CONSOLE

# Controls (but tab and line ends), line separators, private use, and all format characters of Unicode but the
# two joiners, which scripts and emoji need. A test compares it with what messages leave out.
UNWANTED = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b"
    "\u200e\u200f\u2028-\u202e\u2060-\u206f\ue000-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def harmless_pages(get_response: GetResponse) -> GetResponse:
    """Returns the middleware, as Django expects it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(response, HttpResponse) and is_page_of_console(request, response):
            text = response.content.decode(response.charset)
            response.content = UNWANTED.sub("", text)
        return response

    return middleware


def is_page_of_console(request: HttpRequest, response: HttpResponse) -> bool:
    kind = response.headers.get("Content-Type", "")
    return request.path_info.startswith(PAGES_OF_CONSOLE) and kind.startswith("text/html")
