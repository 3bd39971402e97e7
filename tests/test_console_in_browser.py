"""An operator in a real browser: signs in, acknowledges a firing alert, reads that in the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from playwright.sync_api import Browser, expect

from accounts.models import User
from observability.models import Delivery, Episode
from observability.tests import history
from observability.tests.prometheus_stand_in import PrometheusStandIn, exemplar, series, success
from tests.console_browser import PASSWORD, sign_in, watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EVIL = "/<img src=x onerror=window.evil=1>"


@pytest.fixture
def firing(monkeypatch: pytest.MonkeyPatch) -> Episode:
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self, *arguments: None)
    rule = "http://prometheus/graph?g0.expr=instance:amani_http_errors:sum"
    episode = history.episode(12, summary="11.8% of requests fail", generator_url=rule)
    history.delivery(episode, "pagerduty", "failed", reason="400 Invalid routing key")
    return episode


@pytest.fixture
def responder() -> User:
    user = User.objects.create_user("ada@example.com", PASSWORD, full_name="Ada Abara", is_staff=True)
    user.groups.add(Group.objects.get(name="responder"))
    return user


def test_responder_takes_an_alert_in_two_clicks_and_resends_what_failed(
    live_server: Any, browser: Browser, firing: Episode, responder: User
) -> None:
    page = browser.new_page()
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url)
    expect(page.get_by_role("heading", name="Firing now")).to_be_visible()
    expect(page.get_by_text("400 Invalid routing key")).to_be_visible()

    page.get_by_text("11.8% of requests fail").click()
    page.locator("summary", has_text="Acknowledge").click()
    page.get_by_label("What are you doing about it?").fill("restarting web-1")
    page.get_by_role("button", name="Acknowledge").click()
    timeline = page.locator(".am-timeline")
    expect(timeline).to_contain_text("Acknowledged by Ada Abara")
    expect(timeline).to_contain_text("restarting web-1")
    expect(page.locator(".am-hero")).to_contain_text("Acknowledged by Ada Abara")

    page.locator("summary", has_text="Resend").click()
    page.get_by_label("Why is it sent again?").fill("the key is right now")
    page.get_by_role("button", name="Send again").click()
    expect(timeline).to_contain_text("the key is right now")

    firing.refresh_from_db()
    assert firing.acknowledged_by_id == responder.pk
    assert Delivery.objects.filter(resend_of__isnull=False, state="pending").count() == 1
    assert complaints == []


@pytest.fixture
def prometheus(settings: Any) -> Iterator[PrometheusStandIn]:
    """Knows one failed request of the last minutes, behind an endpoint of a hostile name."""
    stand_in = PrometheusStandIn()
    settings.PROMETHEUS_URL, settings.TRACING_ENABLED = stand_in.url, True
    now = timezone.now().timestamp()
    found = exemplar(TRACE, "1", now - 300, request_id="0123456789abcdef")
    place = {"metric": {"method": "POST", "endpoint": EVIL}, "value": [now, "41"]}
    stand_in.replies["query"] = success({"result": [place]})
    stand_in.replies["query_exemplars"] = success([series(found, method="POST", endpoint=EVIL, status="500")])
    yield stand_in
    stand_in.close()


def test_alert_leads_to_the_trace_of_a_failed_request_in_one_click(
    live_server: Any, browser: Browser, firing: Episode, responder: User, prometheus: PrometheusStandIn
) -> None:
    page = browser.new_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url)
    page.goto(f"{live_server.url}/admin/observability/episode/{firing.pk}/change/")
    samples = page.locator(".am-samples")
    expect(samples).to_contain_text("41 failed")
    expect(samples).to_contain_text(EVIL)
    expect(samples.get_by_role("link", name="Trace 4bf92f35")).to_have_attribute(
        "href", f"http://localhost:16686/trace/{TRACE}"
    )
    samples.get_by_text("log lines").click()
    samples.get_by_role("button", name="Copy").click()
    expect(samples.get_by_role("button", name="Copied")).to_be_visible()
    assert "grep -F -- 0123456789abcdef" in page.evaluate("navigator.clipboard.readText()")
    assert page.evaluate("window.evil") is None
    assert complaints == []


def test_samples_that_cannot_be_loaded_leave_a_link_to_their_page(
    live_server: Any, browser: Browser, firing: Episode, responder: User, prometheus: PrometheusStandIn
) -> None:
    page = browser.new_page()
    sign_in(page, live_server.url)
    page.route("**/samples/", lambda route: route.abort())
    page.goto(f"{live_server.url}/admin/observability/episode/{firing.pk}/change/")
    link = page.get_by_role("link", name="Sampled traces of that time")
    expect(link).to_be_visible()
    page.unroute("**/samples/")
    link.click()
    expect(page.get_by_role("link", name="Trace 4bf92f35")).to_be_visible()


def test_history_is_found_by_label_and_read_on_a_phone(
    live_server: Any, browser: Browser, firing: Episode, responder: User
) -> None:
    history.episode(2000, status="resolved", starts_at=timezone.now() - timedelta(days=2))
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url)
    page.goto(f"{live_server.url}/admin/observability/episode/?q=instance%3Dweb-12")
    expect(page.locator("#result_list tbody")).to_have_count(1)
    expect(page.locator("#result_list")).to_contain_text("Not acknowledged")
    for path in (
        "/admin/",
        "/admin/observability/episode/",
        f"/admin/observability/episode/{firing.pk}/change/",
    ):
        page.goto(live_server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert complaints == []
