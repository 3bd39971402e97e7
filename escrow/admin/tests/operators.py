"""Signs operators in, and reads what a page shows."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client

from kyc.tests.people import make_operator

SYMBOL = re.compile(r'<span class="material-symbols-outlined"[^>]*>[^<]*</span>')


def signed_in(role: str = "finance") -> Client:
    client = Client()
    client.force_login(make_operator(role))
    return client


def words(client: Client, address: str) -> str:
    """Returns the text of the page, without its frame and symbols."""
    response = client.get(address)
    assert response.status_code == 200, response
    html = SYMBOL.sub("", response.content.decode())
    html = html[html.index('id="content"') :]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]
