"""The history cannot be edited, not even by a superuser; viewing it changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.test import Client
from django.urls import reverse

from observability.models import Attempt, Channel, Delivery, Episode, EpisodeEvent, Receipt
from observability.tests import history

pytestmark = pytest.mark.django_db

MODELS: tuple[Any, ...] = (Episode, EpisodeEvent, Delivery, Attempt, Receipt, Channel)
PAGES: tuple[Any, ...] = (Episode, Delivery, Receipt, Channel)
ACTIONS = (
    ("episode", "acknowledge"),
    ("episode", "note"),
    ("delivery", "resend"),
    ("receipt", "reprocess"),
)


def everything() -> dict[str, str]:
    return {model.__name__: serializers.serialize("json", model.objects.order_by("pk")) for model in MODELS}


def url(model: Any, name: str, *args: Any) -> str:
    return reverse(f"admin:observability_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def browser(sign_in: Callable[..., Client], django_user_model: Any) -> Client:
    client = sign_in("superuser")
    history.whole_history(1, django_user_model.objects.get())
    history.receipt("failed", b"{")
    return client


def test_superuser_can_neither_add_change_nor_delete(browser: Client) -> None:
    before = everything()
    for model in PAGES:
        row = model.objects.latest("pk")
        fields = {"alertname": "x", "state": "delivered", "outcome": "stored", "reason": "x", "_save": "Save"}
        assert browser.post(url(model, "change", row.pk), fields).status_code == 405
        assert browser.get(url(model, "add")).status_code == 403
        assert browser.post(url(model, "add"), fields).status_code == 403
        assert browser.get(url(model, "delete", row.pk)).status_code == 403
        assert browser.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert everything() == before


def test_list_offers_no_bulk_action(browser: Client) -> None:
    before = everything()
    for model in PAGES:
        row = model.objects.latest("pk")
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        browser.post(url(model, "changelist"), chosen)
    assert everything() == before


@pytest.mark.parametrize(("model", "action"), ACTIONS)
def test_action_by_get_is_refused_and_changes_nothing(browser: Client, model: str, action: str) -> None:
    before = everything()
    for key in (Episode.objects.get().pk, Delivery.objects.latest("pk").pk, Receipt.objects.latest("pk").pk):
        address = reverse(f"admin:observability_{model}_{action}", args=[key])
        assert browser.get(address).status_code == 405
    assert everything() == before


def test_looking_at_everything_changes_nothing(browser: Client) -> None:
    before = everything()
    for model in PAGES:
        browser.get(url(model, "changelist"))
        browser.get(url(model, "change", model.objects.latest("pk").pk))
        browser.get(url(model, "history", model.objects.latest("pk").pk))
    browser.get(url(Receipt, "raw", Receipt.objects.latest("pk").pk))
    assert everything() == before
