"""The page of a receipt shows the body as it arrived, without executing anything in it."""

import json
from collections.abc import Callable

import pytest
from django.test import Client

from observability.admin.receipts import readable
from observability.tests import history
from observability.tests.payloads import alert, body

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(sign_in: Callable[..., Client]) -> Client:
    return sign_in("viewer")


def test_raw_body_is_a_download_and_never_a_page(viewer: Client) -> None:
    content = b"<script>alert(1)</script>\xff\x00"
    receipt = history.receipt("failed", content)
    response = viewer.get(f"/admin/observability/receipt/{receipt.pk}/raw/")
    assert response.content == content
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"] == f'attachment; filename="receipt-{receipt.pk}.txt"'


def test_raw_body_is_for_those_who_may_see_receipts(sign_in: Callable[..., Client], client: Client) -> None:
    url = f"/admin/observability/receipt/{history.receipt().pk}/raw/"
    assert client.get(url).status_code == 302
    assert sign_in("staff").get(url).status_code == 403
    assert sign_in("viewer").get("/admin/observability/receipt/99/raw/").status_code == 404


def test_body_is_shown_as_text(viewer: Client) -> None:
    receipt = history.receipt("failed", b"<b>not json</b>", reason="The body is not JSON.")
    html = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/").content.decode()
    assert "&lt;b&gt;not json&lt;/b&gt;" in html
    assert "<b>not json" not in html
    assert "The body is not JSON." in html


def test_page_names_what_was_set_aside_and_why(viewer: Client) -> None:
    aside = [{"position": 4, "reason": '"labels" is empty', "excerpt": '{"status": "firing"}'}]
    receipt = history.receipt("partial", set_aside=aside)
    html = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/").content.decode()
    assert "<td>4</td>" in html
    assert "&quot;labels&quot; is empty" in html


def test_page_names_the_odd_fields_of_alerts_that_are_stored(viewer: Client) -> None:
    receipt = history.receipt(
        odd_fields=[{"position": 3, "reason": '"labels" has no value for <b>: left out'}], reason="Odd."
    )
    html = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/").content.decode()
    assert "<td>3</td><td>&quot;labels&quot; has no value for &lt;b&gt;: left out</td>" in html
    assert "am-ink-warning" in html


def test_page_links_an_alert_without_a_usable_start(viewer: Client) -> None:
    shown = history.episode()
    receipt = history.receipt("stored", body(alert(1, startsAt="garbage")))
    response = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/")
    assert response.context["alerts"] == [shown]


def test_page_links_the_alerts_in_the_body(viewer: Client) -> None:
    shown = history.episode(fingerprint=f"{1:016x}", starts_at="2026-11-23T03:00:00.123456Z")
    receipt = history.receipt("stored", body(alert(1), alert(2)))
    response = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/")
    assert response.context["alerts"] == [shown]


def test_page_links_the_episode_to_which_another_start_belongs(viewer: Client) -> None:
    same = {"fingerprint": f"{1:016x}", "status": "resolved"}
    history.episode(1, starts_at="2026-11-23T02:00:00Z", is_latest=False, **same)
    shown = history.episode(2, starts_at="2026-11-23T02:58:00Z", is_latest=False, **same)
    history.episode(3, starts_at="2026-11-23T05:00:00Z", **same)
    receipt = history.receipt("stored", body(alert(1)))
    response = viewer.get(f"/admin/observability/receipt/{receipt.pk}/change/")
    assert response.context["alerts"] == [shown]


def test_json_is_indented_and_long_bodies_are_cut() -> None:
    assert readable(b'{"a":1}') == ('{\n  "a": 1\n}', False)
    assert readable(b"[" * 50_000) == ("[" * 50_000, False)
    assert readable(b"x" * 100_001) == ("x" * 100_000, True)
    long = json.dumps(["é"] * 10_000).encode()
    assert readable(long)[1] is False
    text, is_cut = readable(json.dumps([1] * 30_000).encode())
    assert (len(text), is_cut) == (100_000, True)
