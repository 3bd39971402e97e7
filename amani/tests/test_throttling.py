"""Tests the limits in a real Valkey with several processes, and without Valkey."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from typing import Any

import pytest
import redis
from django.test import Client, RequestFactory

from amani import metrics, throttling
from amani.errors import TooManyRequests
from amani.tests.people import ME, Api, make_person
from local.ports import find_free_port
from local.services import PrivateValkey
from observability.tests.waiting import ANSWER_SECONDS

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 60


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[list[float]]:
    """The time of day, 20 s into a minute; a Redis that may take its time; and no key of an earlier test."""
    now = [NOON + 20]
    monkeypatch.setattr(throttling, "TIMEOUT_SECONDS", ANSWER_SECONDS)
    monkeypatch.setattr(throttling, "PAUSE_SECONDS", 600.0)
    throttling.client.cache_clear()
    monkeypatch.setattr("amani.throttling.time.time", lambda: now[0])
    settings.API_REQUESTS_PER_MINUTE_PER_USER = 3
    settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS = 5
    server = redis.Redis.from_url(settings.REDIS_URL)
    yield now
    for key in server.scan_iter("amani:throttle:*"):
        server.delete(key)
    server.close()
    throttling.client.cache_clear()


def value(child: Any) -> float:
    return float(child._value.get())


def try_often(times: int, **count: Any) -> int:
    """How many of `times` pass."""
    passed = 0
    for _ in range(times):
        try:
            throttling.count(**count)
        except TooManyRequests:
            continue
        passed += 1
    return passed


@pytest.mark.django_db
def test_a_person_has_a_number_of_requests_a_minute(clock: list[float]) -> None:
    api, other = Api(make_person()), Api(make_person())
    before = value(metrics.throttled["user"])
    assert [api("GET", ME).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert value(metrics.throttled["user"]) == before + 1
    assert other("GET", ME).status_code == 200
    clock[0] += 40
    assert api("GET", ME).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data"])
def test_files_are_counted_by_themselves_and_before_they_are_read(kind: str, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE_PER_USER = 5
    settings.API_UPLOADS_PER_MINUTE_PER_USER = 2
    api, other = Api(make_person()), Api(make_person())
    before = value(metrics.throttled["upload"])
    upload = {"data": b"--x--", "content_type": f"{kind}; boundary=x"}
    answers = [api("POST", "/api/v1/kyc/cases", **upload) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[-1].json()["message"] == "More than 2 uploads in a minute. Try again in 40 s."
    assert value(metrics.throttled["upload"]) == before + 1
    assert api("GET", ME).status_code == 200
    assert other("POST", "/api/v1/kyc/cases", **upload).status_code != 429


@pytest.mark.django_db
def test_a_refusal_says_when_to_come_back() -> None:
    api = Api(make_person())
    answer: Any = [api("GET", ME) for _ in range(4)][-1]
    assert (answer["Retry-After"], answer["Content-Type"]) == ("40", "application/problem+json")
    assert answer.json()["code"] == "too_many_requests"
    assert answer.json()["message"] == "More than 3 requests in a minute. Try again in 40 s."


@pytest.mark.django_db
def test_strangers_are_counted_by_address() -> None:
    api = Api()
    before = value(metrics.throttled["address"])
    assert [api("GET", ME).status_code for _ in range(7)] == [401] * 5 + [429] * 2
    assert value(metrics.throttled["address"]) == before + 2
    assert api("GET", ME, REMOTE_ADDR="192.0.2.7").status_code == 401


@pytest.mark.django_db
def test_an_address_can_not_be_made_up(settings: Any) -> None:
    def ask(forwarded: str) -> int:
        return int(Api()("GET", ME, headers={"X-Forwarded-For": forwarded}).status_code)

    assert [ask(f"192.0.2.{number}") for number in range(6)] == [401] * 5 + [429]
    settings.TRUSTED_PROXY_COUNT = settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert [ask(f"192.0.2.{number}, 198.51.100.7") for number in range(6)] == [401] * 5 + [429]
    assert ask("192.0.2.1, 198.51.100.8") == 401


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, "", "192.0.2.1", "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1", "192.0.2.1"),
        (1, "198.51.100.7", "192.0.2.1", "198.51.100.7"),
        (2, "203.0.113.9, 198.51.100.7, 192.0.2.2", "192.0.2.1", "198.51.100.7"),
        (2, "198.51.100.7", "192.0.2.1", "192.0.2.1"),
        (1, "no address", "192.0.2.1", "192.0.2.1"),
        (0, "", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (0, "", "", "unknown"),
    ],
)
def test_the_address_is_the_one_that_the_trusted_proxies_saw(
    proxies: int, forwarded: str, peer: str, address: str, settings: Any
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = RequestFactory().get(ME, headers=headers, REMOTE_ADDR=peer)
    assert throttling.address_of(request) == address


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/accounts/login/", "multipart/form-data; boundary=x"),
        ("/admin/", "application/x-www-form-urlencoded"),
        ("/_allauth/app/v1/auth/login", "application/json"),
        ("/_allauth/browser/v1/auth/login", "application/json"),
        ("/api/v1/kyc/webhooks/smile_id", "application/json"),
        ("/api/v1/health", "application/json"),
        ("/no/such/page", "text/plain"),
    ],
)
@pytest.mark.parametrize("cookie", ["", "csrftoken=" + "x" * 32])
def test_a_body_is_counted_on_every_route_before_it_is_read(
    path: str, kind: str, cookie: str, settings: Any
) -> None:
    settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS = 1
    browser = Client(enforce_csrf_checks=True)

    def post() -> tuple[int, int]:
        body = BytesIO(b"x" * 100)
        headers = {"Cookie": cookie} if cookie else {}
        request: dict[str, Any] = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": "100", "wsgi.input": body}
        answer = browser.generic("POST", path, headers=headers, **request)
        return answer.status_code, body.tell()

    assert post()[0] != 429
    assert post() == (429, 0)


@pytest.mark.django_db
def test_alerts_are_not_counted_by_address(settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS = 1
    answers = [Client().post("/api/v1/alerts/webhook", b"{}", "application/json") for _ in range(3)]
    assert 429 not in [answer.status_code for answer in answers[:2]]


@pytest.mark.django_db
def test_a_page_that_is_not_answered_says_when_to_try_again(settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS = 1
    answers: list[Any] = [Client().post("/accounts/login/", {"login": "x"}) for _ in range(2)]
    assert (answers[1].status_code, answers[1].headers["Retry-After"]) == (429, "40")
    assert b"<h1>Too many requests</h1>" in answers[1].content


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "wrong"])
def test_an_upload_with_a_cookie_and_no_csrf_token_is_counted_and_not_read(token: str, settings: Any) -> None:
    settings.API_UPLOADS_PER_MINUTE_PER_USER = 1
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_person())
    headers = {"X-CSRFToken": token} if token else {}
    form = "multipart/form-data; boundary=x"
    answers: list[Any] = [
        browser.post("/api/v1/kyc/cases", b"--x--", form, headers=headers) for _ in range(2)
    ]
    assert [answer.json()["code"] for answer in answers] == ["csrf_failed", "too_many_requests"]


def test_requests_at_once_can_not_pass_together() -> None:
    with ThreadPoolExecutor(8) as pool:
        passed = pool.map(lambda _: try_often(25, scope="user", whose="race", limit=50), range(8))
    assert sum(passed) == 50


def test_the_client_is_kept_until_redis_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is dropped meanwhile would close the connection: each thread may have one of its own."""
    clients: list[weakref.ref[redis.Redis]] = []
    kept: list[bool] = []
    execute = redis.client.Pipeline.execute

    @lru_cache(maxsize=0)
    def new_client(url: str) -> redis.Redis:
        client = redis.Redis.from_url(url)
        clients.append(weakref.ref(client))
        return client

    def execute_and_look(*arguments: Any, **options: Any) -> Any:
        kept.append(clients[-1]() is not None)
        return execute(*arguments, **options)

    monkeypatch.setattr(throttling, "client", new_client)
    monkeypatch.setattr(redis.client.Pipeline, "execute", execute_and_look)
    throttling.count("user", "client", 5)
    assert kept == [True]


def test_no_counter_stays_behind(settings: Any) -> None:
    throttling.count("user", "ttl", 5)
    server = redis.Redis.from_url(settings.REDIS_URL)
    keys = list(server.scan_iter("amani:throttle:user:ttl:*"))
    assert [server.ttl(key) for key in keys] == [120]
    server.close()


def test_zero_is_no_limit() -> None:
    assert try_often(20, scope="user", whose="zero", limit=0) == 20


@pytest.fixture
def fresh_counters(monkeypatch: pytest.MonkeyPatch) -> throttling.Counters:
    counters = throttling.Counters()
    monkeypatch.setattr(throttling, "counters", counters)
    return counters


def test_without_redis_everybody_passes_and_it_is_counted(
    settings: Any, fresh_counters: throttling.Counters
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{find_free_port()}/0"
    before = value(metrics.throttle_unavailable)
    assert try_often(10, scope="user", whose="nobody", limit=3) == 10
    assert value(metrics.throttle_unavailable) == before + 10


def test_redis_is_asked_again_after_a_rest(
    private_valkey: Callable[[], PrivateValkey],
    settings: Any,
    fresh_counters: throttling.Counters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = private_valkey()
    good, settings.REDIS_URL = server.url, f"redis://127.0.0.1:{find_free_port()}/0"
    assert try_often(2, scope="user", whose="rest", limit=1) == 2
    settings.REDIS_URL = good
    assert try_often(2, scope="user", whose="rest", limit=1) == 2
    fresh_counters.paused_until = 0.0
    assert try_often(2, scope="user", whose="rest", limit=1) == 1
