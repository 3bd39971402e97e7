"""No page of the console shows characters that hide or reverse a text."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from django.test import Client

from accounts.models import User
from amani.harmless_pages import UNWANTED
from observability.notifiers.text import clean
from observability.tests import history
from observability.tests.payloads import alert, body

HOSTILE = "pay\u202egnp.exe\x1b[31m\x07\u200b\u2066\ufeff\U000e0041\x85"
SHOWN = "paygnp.exe[31m"


@pytest.fixture
def client(db: None) -> Client:
    signed_in = Client()
    root = User.objects.create_superuser("root@example.com", full_name="Ada")
    signed_in.force_login(root)
    return signed_in


def test_no_page_has_what_a_label_or_a_vendor_brought(client: Client) -> None:
    shown = history.episode(
        alertname=HOSTILE,
        summary=HOSTILE,
        labels={"alertname": HOSTILE, HOSTILE: HOSTILE},
        annotations={HOSTILE: HOSTILE, "description": HOSTILE},
    )
    sent = history.delivery(shown, state="failed", reason=HOSTILE)
    kept = history.receipt("failed", HOSTILE.encode(), reason=HOSTILE)
    pages = ["/admin/", "/admin/observability/episode/", "/admin/observability/delivery/"]
    pages += [f"/admin/observability/{row._meta.model_name}/{row.pk}/change/" for row in (shown, sent, kept)]
    for page in pages:
        answer = client.get(page)
        text = answer.content.decode()
        assert SHOWN in text, page
        assert UNWANTED.search(text) is None, page
        assert int(answer["Content-Length"]) == len(answer.content)


def test_the_raw_body_of_a_receipt_is_as_it_came(client: Client) -> None:
    kept = history.receipt(content=body(alert(1)) + HOSTILE.encode())
    answer = client.get(f"/admin/observability/receipt/{kept.pk}/raw/")
    assert answer.content == bytes(kept.body)


def test_the_console_leaves_out_what_messages_leave_out() -> None:
    """But spaces, line ends and unassigned characters, which do no harm on a page."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Co") and character not in "\t\n\r":
            is_kept = f"a{character}b" in clean(f"a{character}b")
            assert (UNWANTED.search(character) is None) == is_kept, hex(code)


def test_names_keep_the_joiners_that_their_scripts_need(client: Client) -> None:
    name = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    User.objects.create_user("persian@example.com", full_name=name)
    assert name in client.get("/admin/accounts/user/").content.decode()
