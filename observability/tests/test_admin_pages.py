"""Every page loads for every role, in a number of queries that does not grow with the history."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from observability.models import AlertRule, Channel, Delivery, Episode, Silence
from observability.tests import history

pytestmark = pytest.mark.django_db

MODELS = {
    model.__name__.lower(): model
    for model in apps.get_app_config("observability").get_models()
    if admin.site.is_registered(model)
}
ROLES = ("viewer", "responder", "superuser")


def list_url(model: str) -> str:
    return reverse(f"admin:observability_{model}_changelist")


def page_urls() -> list[str]:
    """A page of each kind, of the newest row."""
    chosen = {
        "delivery": Delivery.objects.exclude(episode=None).latest("id"),
        "channel": Channel.objects.get(pk="slack"),
        "alertrule": AlertRule.objects.get(key="HighErrorRate"),
    }
    newest = {name: chosen.get(name) or model._default_manager.latest("pk") for name, model in MODELS.items()}
    return [reverse(f"admin:observability_{name}_change", args=[row.pk]) for name, row in newest.items()]


def urls() -> list[str]:
    return [reverse("admin:index"), *map(list_url, MODELS), *page_urls()]


def fill(length: int, user: Any) -> None:
    """`length` rows of each model that has a page."""
    history.whole_history(length, user)
    history.what_operators_set(length, user)


def queries_for(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200, url
    return len(queries)


@pytest.mark.parametrize("role", ROLES)
def test_every_page_takes_as_many_queries_for_fifty_rows_as_for_one(
    role: str, sign_in: Callable[..., Client], django_user_model: Any, settings: Any
) -> None:
    settings.ALERT_RULES_FOLDER = "/rules"  # so that pages also say whether the published rules are right
    client = sign_in(role)
    user = django_user_model.objects.get()
    fill(1, user)
    client.get(reverse("admin:index"))
    with_one = {url: queries_for(client, url) for url in urls()}
    Delivery.objects.all().delete()
    Silence.objects.all().delete()
    Episode.objects.all().delete()
    fill(50, user)
    with_fifty = [queries_for(client, url) for url in urls()]
    assert dict(zip(with_one, with_fifty, strict=True)) == with_one
    assert max(with_fifty) <= 30


def test_visitor_is_sent_to_the_login(client: Client, django_user_model: Any) -> None:
    fill(1, django_user_model.objects.create_user("ada@example.com"))
    for url in urls():
        response = client.get(url)
        assert (response.status_code, response.headers["Location"].split("?")[0]) == (302, "/admin/login/"), (
            url
        )


def test_staff_without_a_role_see_no_alert(sign_in: Callable[..., Client], django_user_model: Any) -> None:
    client = sign_in("staff")
    fill(1, django_user_model.objects.get())
    start = client.get(reverse("admin:index"))
    assert b"Your account has no role yet" in start.content
    assert b"HighErrorRate" not in start.content
    for url in [*map(list_url, MODELS), *page_urls()]:
        assert client.get(url).status_code == 403, url


def test_unknown_row_is_not_found(sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    for model, key in (
        ("episode", "99"),
        ("episode", "x"),
        ("delivery", "99"),
        ("receipt", "99"),
        ("channel", "fax"),
    ):
        assert client.get(reverse(f"admin:observability_{model}_change", args=[key])).status_code == 404


def test_home_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"


def test_delivery_in_a_digest_shows_the_attempts_of_the_digest(sign_in: Callable[..., Client]) -> None:
    shown = history.episode()
    digest = Delivery.objects.create(
        channel="slack",
        kind="digest",
        digest_of="trigger",
        severity="critical",
        priority=1,
        state="delivered",
    )
    digest.attempts.create(number=1, outcome="delivered", http_status=200, response="ok, all of them")
    member = Delivery.objects.create(
        episode=shown, channel="slack", kind="trigger", severity="critical", priority=1, digest=digest
    )
    client = sign_in("viewer")
    for model, pk in (("delivery", member.pk), ("episode", shown.pk)):
        page = client.get(reverse(f"admin:observability_{model}_change", args=[pk]))
        assert "ok, all of them" in page.content.decode()
    page = client.get(reverse("admin:observability_delivery_change", args=[digest.pk]))
    assert "Digest of 1 alert" in page.content.decode()
