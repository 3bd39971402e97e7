"""An operator in a real browser: enrols a second factor, then signs in with it, or with a security key."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, Page, expect

from accounts.models import User
from tests.console_browser import PASSWORD, give_code, give_second_factor, sign_in, totp_code, watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def second_factor_is_required(settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = True


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada@example.com", PASSWORD, full_name="Ada Abara", is_staff=True)
    user.groups.add(Group.objects.get(name="responder"))
    return user


def test_operator_enrols_an_app_signs_out_and_signs_in_with_it(
    live_server: Any, browser: Browser, ada: User
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url)
    expect(page.get_by_role("heading", name="Set up your second factor")).to_be_visible()
    expect(page.get_by_label("Authenticator code")).to_be_focused()
    page.get_by_text("If you cannot scan it").click()
    secret = page.locator("#authenticator_secret").inner_text()
    give_code(page, "12345", "Switch on")
    expect(page.get_by_text("Incorrect code.")).to_be_visible()
    give_code(page, totp_code(secret), "Switch on")
    expect(page.locator(".en-codes li")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_role("heading", name="Firing now")).to_be_visible()

    page.goto(f"{live_server.url}/accounts/2fa/")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, live_server.url, secret=secret)
    expect(page.get_by_role("heading", name="Firing now")).to_be_visible()
    assert complaints == []


def test_operator_adds_a_security_key_and_signs_in_with_it(
    live_server: Any, browser: Browser, ada: User
) -> None:
    secret = give_second_factor(ada)
    page = browser.new_page()
    complaints = watch(page, live_server.url)
    plug_in_a_key(page)
    sign_in(page, live_server.url, secret=secret)
    expect(page.get_by_role("heading", name="Firing now")).to_be_visible()
    page.goto(f"{live_server.url}/accounts/2fa/webauthn/add/")
    page.get_by_label("Code").fill(totp_code(secret, later=1))  # each code counts once
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("blue key")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert Authenticator.objects.get(user=ada, type="webauthn").wrap().name == "blue key"

    page.get_by_role("button", name="Sign out").click()
    sign_in(page, live_server.url)
    page.get_by_role("button", name="Use a security key").click()
    expect(page.get_by_role("heading", name="Firing now")).to_be_visible()
    assert complaints == []


def plug_in_a_key(page: Page) -> None:
    """A security key of Chromium's own making, which is touched at once whenever it is asked."""
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "automaticPresenceSimulation": True}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": key})
