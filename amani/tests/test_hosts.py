"""Webhook and probes accept any Host; all other routes only those in ALLOWED_HOSTS."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from django.http import HttpRequest
from django.test import Client

from accounts.tests.devices import make_person
from amani.hosts import FOR_ANY_HOST, HostRefused
from observability.models import Receipt
from observability.telemetry.metrics.requests import requests_by_label
from observability.tests.payloads import alert, body

pytestmark = pytest.mark.django_db
WEBHOOKS = ("/api/v1/alerts/webhook", "/api/v1/alerts/webhook/")
PROBES = ("/api/v1/health", "/api/v1/readiness", "/api/v1/ping", "/metrics")
TOKEN = "a-token-of-the-webhook"
HOSTS = {
    "of_a_service_with_an_underscore": "amani_web:8000",
    "of_a_pod": "10.1.2.3:8000",
    "unknown": "evil.example",
    "empty": "",
    "garbage": '<script>alert("x")</script>, \xff\x00 [::1',
}
of_any_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)


@pytest.fixture(autouse=True)
def one_allowed_host(settings: Any) -> None:
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["amani.example"]
    settings.ALERT_WEBHOOK_TOKEN = TOKEN


def counted(method: str, status: int) -> float:
    counter = requests_by_label.get((method, None, status))
    return 0.0 if counter is None else counter._value.get()


def test_the_table_has_every_route_of_monitoring() -> None:
    assert frozenset({*WEBHOOKS, *PROBES}) == FOR_ANY_HOST


@of_any_host
@pytest.mark.parametrize("path", WEBHOOKS)
def test_an_alert_is_stored_whatever_host_it_was_sent_to(path: str, host: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    sent = body(alert(1))
    answer = Client().post(path, sent, "application/json", headers=headers, HTTP_HOST=host)
    assert answer.status_code == 200
    assert bytes(Receipt.objects.get().body) == sent


@of_any_host
@pytest.mark.parametrize("path", PROBES)
def test_a_probe_is_answered_whatever_host_it_names(path: str, host: str) -> None:
    assert Client().get(path, HTTP_HOST=host).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/below/a/path"])
@pytest.mark.parametrize("path", [*WEBHOOKS, *PROBES])
def test_no_route_of_monitoring_is_redirected_to_https(path: str, prefix: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/admin/", HTTP_HOST="amani.example", SCRIPT_NAME=prefix).status_code == 301
    method = "post" if path in WEBHOOKS else "get"
    answer = getattr(Client(), method)(path, HTTP_HOST="amani_web:8000", SCRIPT_NAME=prefix)
    assert answer.status_code == (401 if path in WEBHOOKS else 200)


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/healthy", "/api/v1/alerts/", "/admin/metrics/"])
def test_every_other_route_is_redirected_to_https(path: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get(path, HTTP_HOST="amani.example").status_code == 301


@pytest.mark.parametrize("path", [*WEBHOOKS, *PROBES])
def test_nothing_on_a_route_of_monitoring_asks_for_the_host(
    path: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    for name in ("get_host", "get_port", "build_absolute_uri"):
        monkeypatch.setattr(HttpRequest, name, Mock(side_effect=AssertionError(name)))
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}
    method = "post" if path in WEBHOOKS else "get"
    sent = {"data": body(alert(1)), "content_type": "application/json"} if path in WEBHOOKS else {}
    for client in (Client(), Client(enforce_csrf_checks=True)):
        assert getattr(client, method)(path, headers=headers, **sent).status_code == 200


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            "evil.example:80",
            (
                "The host “evil.example:80” is not in ALLOWED_HOSTS. "
                "Use a name that is, or add this one to the setting ALLOWED_HOSTS."
            ),
        ),
        (
            "amani_web:8000",
            (
                "The host “amani_web:8000” is malformed: a name has letters, digits, hyphens and dots only. "
                "Use a name in the setting ALLOWED_HOSTS."
            ),
        ),
        (
            "a b\x00\xff" + "c" * 200,
            (
                f"The host “a?b??{'c' * 95}…” is malformed: "
                "a name has letters, digits, hyphens and dots only. Use a name in the setting ALLOWED_HOSTS."
            ),
        ),
        ("", "The request names no host. Send the header Host with a name in ALLOWED_HOSTS."),
    ],
)
def test_a_refused_host_and_the_setting_are_named(host: str, message: str) -> None:
    answer = Client().get("/api/v1/me", HTTP_HOST=host)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    body = answer.json()
    assert body.pop("request_id") == answer["X-Request-ID"]
    assert body == {
        "title": "Bad Request",
        "status": 400,
        "code": "host_refused",
        "message": message,
        "fields": {},
    }


@pytest.mark.parametrize("path", ["/api/v1/me", "/_allauth/app/v1/config", "/api/v1/kyc/webhooks/smile_id"])
def test_every_route_for_programs_refuses_in_the_same_shape(path: str) -> None:
    answer = Client().get(path, HTTP_HOST="evil.example")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (400, "host_refused")


@pytest.mark.parametrize("path", ["/", "/admin/", "/accounts/login/", "/runbooks/", "/nothing"])
def test_a_page_names_the_refused_host_escaped(path: str) -> None:
    answer = Client().get(path, HTTP_HOST="<b>evil</b>")
    html = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "The host “&lt;b&gt;evil&lt;/b&gt;” is malformed" in html
    assert "ALLOWED_HOSTS" in html
    assert "<b>" not in html


def test_a_refused_host_is_counted_without_a_label_of_its_own() -> None:
    Client().get("/api/v1/me", HTTP_HOST="first.example")
    before, labels = counted("GET", 400), set(requests_by_label)
    for number in range(5):
        Client().get("/api/v1/me", HTTP_HOST=f"other-{number}.example")
    assert counted("GET", 400) == before + 5
    assert set(requests_by_label) == labels


def test_a_refused_host_changes_nothing() -> None:
    person = make_person(full_name="Ada Obi")
    browser = Client()
    browser.force_login(person)
    body = json.dumps({"full_name": "Eve"})
    answer = browser.generic("PATCH", "/api/v1/me", body, "application/json", HTTP_HOST="evil.example")
    assert answer.status_code == 400
    person.refresh_from_db()
    assert person.full_name == "Ada Obi"


def test_what_a_request_says_about_its_host_elsewhere_is_not_believed() -> None:
    claims = {"X-Forwarded-Host": "amani.example", "Forwarded": "host=amani.example"}
    answer = Client().get("/api/v1/me", headers=claims | {"Host": "evil.example"})
    assert answer.status_code == 400
    claims = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "666"}
    assert Client().get("/api/v1/me", headers=claims | {"Host": "amani.example"}).status_code == 401


def test_a_host_of_visible_characters_is_shown_as_it_is() -> None:
    assert "“[::1]:8000”" in str(HostRefused("[::1]:8000"))
