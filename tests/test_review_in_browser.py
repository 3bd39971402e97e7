"""A reviewer in a real browser: signs in with a code, opens the queue, looks closely, decides by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.utils import timezone
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

from accounts.models import User
from kyc.models import Case, CaseEvent, DocumentAccess, NumberAccess, Side
from kyc.tests import people
from tests.console_browser import PASSWORD, give_second_factor, sign_in, watch

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def second_factor_required(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    storage = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "kyc": storage}
    settings.STAFF_MFA_REQUIRED = True


@pytest.fixture
def rita() -> User:
    reviewer = people.make_reviewer("rita")
    reviewer.full_name = "Rita Reviews"
    reviewer.set_password(PASSWORD)
    reviewer.save()
    return reviewer


def drawn(width: int, height: int, words: str) -> bytes:
    image = Image.new("RGB", (width, height), "beige")
    ImageDraw.Draw(image).text((width / 8, height / 2), words, fill="black", font_size=width / 12)
    buffer = BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def oldest() -> Case:
    people.submitted()
    person = people.make_person("ada.abara")
    images = {Side.FRONT: drawn(900, 600, "PASSPORT A12345678"), Side.SELFIE: drawn(600, 800, "ADA")}
    case = people.submitted(person, number="A12345678", images=images)
    Case.objects.filter(pk=case.pk).update(submitted_at=timezone.now() - timedelta(hours=30))
    return case


@pytest.fixture
def page(browser: Browser, live_server: Any, rita: User) -> Iterator[Page]:
    """Signed in with an authenticator's code; in the end the browser has complained about nothing."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = watch(page, live_server.url)
    sign_in(page, live_server.url, rita.email, give_second_factor(rita))
    expect(page.get_by_text("Oldest waiting cases")).to_be_visible()
    yield page
    assert complaints == []


def opened(page: Page, place: str, words: str) -> None:
    """The page says so, and its script has run: it is deferred, so not later than the page's load event."""
    expect(page.locator(place)).to_contain_text(words)
    page.wait_for_load_state("load")


def transform(image: Locator) -> str:
    return str(image.evaluate("image => image.style.transform"))


def test_reviewer_approves_by_keyboard_and_the_event_names_them(
    oldest: Case, page: Page, live_server: Any, rita: User
) -> None:
    page.get_by_role("link", name="Cases").click()
    opened(page, "#result_list", "6 h over target")
    page.keyboard.press("n")
    opened(page, ".am-hero", "Claimed by you until")
    assert page.url == f"{live_server.url}/admin/kyc/case/{oldest.pk}/change/"

    front = page.get_by_alt_text(f"Front of case {oldest.pk}")
    expect(front).to_have_js_property("naturalWidth", 900)
    page.keyboard.press("1")
    page.keyboard.press("+")
    assert "scale(1.25)" in transform(front)
    front.hover()
    page.mouse.wheel(0, -100)
    expect(front).to_have_attribute("style", re.compile(r"scale\(1\.5625\)"))
    page.keyboard.press("o")
    assert "rotate(90deg)" in transform(front)
    page.keyboard.press("0")
    assert transform(front) == "translate(0px, 0px) rotate(0deg) scale(1)"
    page.keyboard.press("z")
    expect(page.locator(".kyc-whole")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".kyc-whole")).to_have_count(0)

    page.get_by_role("button", name="show it").click()
    expect(page.locator("[data-number]")).to_have_text("A12345678")

    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Approved.", exact=True)).to_be_visible()
    opened(page, ".am-timeline", "Approved by Rita Reviews")

    oldest.refresh_from_db()
    assert (oldest.state, oldest.decided_by) == ("approved", rita)
    assert CaseEvent.objects.get(event="approve").actor == rita
    assert sorted(DocumentAccess.objects.values_list("document__side", flat=True)) == ["front", "selfie"]
    assert NumberAccess.objects.get().actor == rita

    page.keyboard.press("n")  # and on to the next
    opened(page, ".am-hero", "Claimed by you until")
    assert page.url != f"{live_server.url}/admin/kyc/case/{oldest.pk}/change/"


def test_reviewer_rejects_with_a_reason_and_no_key_works_while_typing(oldest: Case, page: Page) -> None:
    page.get_by_role("link", name=f"Case {oldest.pk} ").click()
    opened(page, ".am-hero", "Passport, NG")
    page.keyboard.press("c")
    opened(page, ".am-hero", "Claimed by you until")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Show the image on the full page, and back")
    page.keyboard.press("a")  # not while the overlay is there
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("details[open]")).to_have_count(0)

    page.keyboard.press("r")
    expect(page.get_by_label("Reason").first).to_be_focused()
    page.keyboard.type("An image")  # as a select is operated by keyboard
    page.keyboard.press("Tab")
    page.keyboard.type("a c r z n ? is out of focus")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Rejected.", exact=True)).to_be_visible()
    oldest.refresh_from_db()
    assert (oldest.state, oldest.reason_code) == ("rejected", "unreadable")
    assert oldest.reason == "a c r z n ? is out of focus"


def test_decisions_work_without_script(browser: Browser, live_server: Any, oldest: Case, rita: User) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, rita.email, give_second_factor(rita))
    page.get_by_role("link", name="the queue").click()
    page.get_by_role("button", name="Review next").click()
    page.get_by_role("button", name="show it").click()
    expect(page.locator("[data-number]")).to_have_text("A12345678")
    page.locator("summary", has_text="Approve").click()
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Approved.", exact=True)).to_be_visible()
    oldest.refresh_from_db()
    assert oldest.state == "approved"
