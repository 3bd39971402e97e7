"""The API's page in a real browser: it shows the operations, tries them, and loads nothing from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from amani.tests.people import make_person, token_of
from tests.console_browser import watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


def test_the_page_shows_the_operations_and_tries_them(live_server: Any, browser: Browser) -> None:
    token = token_of(make_person("ada@example.com", full_name="Ada Obi"))
    page = browser.new_page()
    complaints = watch(page, live_server.url)
    page.goto(f"{live_server.url}/api/v1/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container", has_text="X-Session-Token").locator("input").fill(token)
    page.get_by_role("button", name="Apply credentials").first.click()
    page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-account-show_account")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("Ada Obi")
    assert complaints == []
