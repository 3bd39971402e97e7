"""An approver lowers a limit in a real browser: is asked whether it is meant, and finds it in the history."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, expect

from accounts.models import User
from kyc.limits import rule_at
from kyc.models import LimitKind
from tests.console_browser import PASSWORD, sign_in, watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


def test_an_approver_sets_a_limit_and_reads_it_in_the_history(live_server: Any, browser: Browser) -> None:
    approver = User.objects.create_user("ada@example.com", PASSWORD, full_name="Ada Abara", is_staff=True)
    approver.groups.add(Group.objects.get(name="approver"))
    page = browser.new_page()
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url)
    page.get_by_role("link", name=re.compile("Limits$")).click()
    page.locator("tr", has_text="document verified").get_by_role("link", name="NGN 200,000").click()
    page.get_by_role("link", name="Set another").click()
    page.get_by_label("Amount").fill("150,000")
    page.get_by_label("Reason").fill("The bank's own limit is lower.")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("NGN 200,000")).to_be_visible()
    expect(page.get_by_text("The limit becomes lower")).to_be_visible()
    page.get_by_role("button", name="Set the limit").click()
    row = page.locator("tr", has_text="The bank's own limit is lower.")
    expect(row).to_contain_text("Ada Abara")
    rule = rule_at(tier=2, currency="NGN", kind=LimitKind.DAILY)
    assert rule is not None
    assert (rule.amount_minor, rule.created_by_id) == (150_000_00, approver.pk)
    assert complaints == []
