"""Tests that all clients read REDIS_URL in the same way: broker, cache, limits and health."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from kombu.exceptions import OperationalError

from amani import throttling
from amani.celery import app
from amani.redis_url import EXAMPLE, read_redis_url
from amani.tests.tls import Authority, TlsProxy
from local.ports import find_free_port
from local.processes import wait_until
from local.services import PrivateValkey
from observability.telemetry import health
from observability.telemetry.secrets import configured_secrets
from observability.tests.waiting import PATIENCE_SECONDS

UNCHECKED = ["none", "CERT_NONE", "None"]
strangers = count(1)
CHECKED = ["", "required", "CERT_REQUIRED", "optional", "CERT_OPTIONAL"]


class TlsRedis:
    """A real Valkey behind TLS, with the certificate of an unknown authority."""

    def __init__(self, folder: Path) -> None:
        self.valkey = PrivateValkey(folder / "valkey", find_free_port())
        self.valkey.start()
        self.authority = Authority(folder, "authority")
        self.stranger = Authority(folder, "stranger")
        self.proxy = TlsProxy(self.valkey.port, self.authority.certify("127.0.0.1"))
        self.misnamed = TlsProxy(self.valkey.port, self.authority.certify("redis.example"))

    def url(self, query: str = "", *, misnamed: bool = False) -> str:
        port = (self.misnamed if misnamed else self.proxy).port
        return f"rediss://:{self.valkey.password}@127.0.0.1:{port}/0" + (f"?{query}" if query else "")

    def close(self) -> None:
        self.proxy.close()
        self.misnamed.close()
        self.valkey.remove()


@pytest.fixture(scope="module")
def tls_redis() -> Iterator[TlsRedis]:
    folder = Path(tempfile.mkdtemp(prefix="amani-tls-"))
    server = TlsRedis(folder)
    yield server
    server.close()
    shutil.rmtree(folder)


def broker_works() -> bool:
    """Celery's side: it connects and publishes."""
    with app.connection_for_write(url=settings_url()) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except OperationalError:
            return False
        queue = connection.SimpleQueue("test")
        queue.put({"number": 1})
        answer = queue.get(timeout=PATIENCE_SECONDS).payload
        queue.close()
    return bool(answer == {"number": 1})


def cache_works() -> bool:
    try:
        caches["default"].set("tls", "answer")
        return bool(caches["default"].get("tls") == "answer")
    except redis.ConnectionError:
        return False


def limits_work() -> bool:
    return throttling.Counters().increment("amani:throttle:test") is not None


def health_works() -> bool:
    return broker_check().status == "ok"


def broker_check() -> health.Check:
    return health.run_checks(health.Probe(("broker",), health.ask_broker))["broker"]


def sign_in_works() -> bool:
    """django-allauth counts attempts in Django's cache; without it no sign-in is possible."""
    number = next(strangers)
    client = Client(raise_request_exception=False, REMOTE_ADDR=f"10.0.{number // 250}.{number % 250}")
    body = {"email": f"nobody-{number}@example.com", "password": "wrong"}
    answer = client.post("/_allauth/app/v1/auth/login", body, content_type="application/json")
    assert answer.status_code in {400, 503}
    return answer.status_code == 400


def settings_url() -> str:
    from django.conf import settings

    return str(settings.REDIS_URL)


CLIENTS = {
    "broker": broker_works,
    "cache": cache_works,
    "limits": limits_work,
    "health": health_works,
    "sign-in": sign_in_works,
}


@pytest.fixture
def which_work(settings: Any) -> Callable[[str], dict[str, bool]]:
    """`which_work(url)`: whether each client reaches Redis when REDIS_URL is `url`."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def try_all(url: str) -> dict[str, bool]:
        settings.REDIS_URL = read_redis_url(url)
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
        return {name: works() for name, works in CLIENTS.items()}

    return try_all


@pytest.fixture
def all_work(which_work: Callable[[str], dict[str, bool]]) -> Callable[[str], bool]:
    """`all_work(url)`: some clients wait so briefly that on a busy machine they get several attempts."""
    return lambda url: wait_until(lambda: which_work(url) == ALL_WORK, 30)


ALL_WORK = dict.fromkeys(CLIENTS, True)
NONE_WORKS = dict.fromkeys(CLIENTS, False)


@pytest.mark.django_db
@pytest.mark.parametrize("spelling", CHECKED)
def test_every_client_refuses_a_certificate_of_an_unknown_authority(
    spelling: str, tls_redis: TlsRedis, which_work: Callable[[str], dict[str, bool]]
) -> None:
    query = f"ssl_cert_reqs={spelling}" if spelling else ""
    assert which_work(tls_redis.url(query)) == NONE_WORKS


@pytest.mark.django_db
def test_another_authority_in_ssl_ca_certs_does_not_help(
    tls_redis: TlsRedis, which_work: Callable[[str], dict[str, bool]]
) -> None:
    assert which_work(tls_redis.url(f"ssl_ca_certs={tls_redis.stranger.file}")) == NONE_WORKS


@pytest.mark.django_db
@pytest.mark.parametrize("spelling", CHECKED)
def test_every_client_believes_the_authority_in_ssl_ca_certs(
    spelling: str, tls_redis: TlsRedis, all_work: Callable[[str], bool]
) -> None:
    query = f"ssl_ca_certs={tls_redis.authority.file}" + (f"&ssl_cert_reqs={spelling}" if spelling else "")
    assert all_work(tls_redis.url(query))


@pytest.mark.django_db
@pytest.mark.parametrize("spelling", UNCHECKED)
def test_every_client_accepts_any_certificate_if_configured(
    spelling: str, tls_redis: TlsRedis, all_work: Callable[[str], bool]
) -> None:
    assert all_work(tls_redis.url(f"ssl_cert_reqs={spelling}"))
    assert all_work(tls_redis.url(f"ssl_cert_reqs={spelling}", misnamed=True))


@pytest.mark.django_db
def test_every_client_refuses_another_hosts_certificate_by_default(
    tls_redis: TlsRedis, which_work: Callable[[str], dict[str, bool]], all_work: Callable[[str], bool]
) -> None:
    query = f"ssl_ca_certs={tls_redis.authority.file}"
    assert which_work(tls_redis.url(query, misnamed=True)) == NONE_WORKS
    query += "&ssl_check_hostname=no"
    assert all_work(tls_redis.url(query, misnamed=True))


def test_health_says_that_the_certificate_is_not_trusted(tls_redis: TlsRedis, settings: Any) -> None:
    settings.REDIS_URL = read_redis_url(tls_redis.url())
    detail = "its certificate is not trusted (ssl_ca_certs in REDIS_URL)"
    assert wait_until(lambda: broker_check().detail == detail, 30)
    assert broker_check().status == "error"


def test_health_leaves_nothing_in_redis(redis_url: str, settings: Any) -> None:
    settings.REDIS_URL = redis_url
    assert wait_until(lambda: broker_check().detail == "accepts writes", 30)
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


def test_the_scrubber_knows_the_password_as_it_is_and_as_it_is_written(settings: Any) -> None:
    settings.REDIS_URL = read_redis_url("redis://:a,b%25c@host")
    assert {"a,b%c", "a%2Cb%25c"} <= set(configured_secrets())


@pytest.mark.django_db
def test_a_password_may_have_every_character(
    private_valkey: Callable[[], PrivateValkey], all_work: Callable[[str], bool]
) -> None:
    """A comma divides addresses for Django's cache, a semicolon for kombu."""
    server = private_valkey()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "a,b;c@d%2Fe~ü+&=")
    assert all_work(f"redis://:a,b;c@d%252Fe~ü+&=@127.0.0.1:{server.port}/0")
    assert all_work(f"redis://:a%2Cb%3Bc%40d%252Fe~%C3%BC%2B%26%3D@127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis://host", "redis://host:6379/0"),
        ("redis://:p%40ss@host:6380/3", "redis://:p%40ss@host:6380/3"),
        ("redis://amani:secret@[::1]:6379//2", "redis://amani:secret@[::1]:6379/2"),
        ("rediss://host/1", "rediss://host:6379/1?ssl_cert_reqs=required"),
        ("rediss://host?ssl_cert_reqs=CERT_NONE", "rediss://host:6379/0?ssl_cert_reqs=none"),
        (
            "rediss://host?ssl_check_hostname=0&ssl_cert_reqs=Optional",
            "rediss://host:6379/0?ssl_check_hostname=false&ssl_cert_reqs=optional",
        ),
    ],
)
def test_an_address_is_read_once_and_written_for_all(given: str, read: str) -> None:
    assert read_redis_url(given) == read
    assert read_redis_url(read) == read


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://planted@host", "it must begin with redis:// or, for TLS, rediss://"),
        ("planted@host:6379", "it must begin with redis:// or, for TLS, rediss://"),
        ("unix:///run/redis.sock", "it must begin with redis:// or, for TLS, rediss://"),
        ("sentinel://:planted@host:26379", "it must begin with redis:// or, for TLS, rediss://"),
        ("amqp://user:planted@host:5672//", "it must begin with redis:// or, for TLS, rediss://"),
        ("redis:///0", "it must have exactly one host"),
        (
            "redis://:planted@one:1,two:2/0",
            "the port is not a number, or the password has one of / ? # [ ] %",
        ),
        ("redis://one,two/0", "it must have exactly one host"),
        ("redis://:planted/x@host:6379", "the port is not a number, or the password has one of / ? # [ ] %"),
        ("redis://:planted%ff@host", "the port is not a number, or the password has one of / ? # [ ] %"),
        ("redis://host:70000", "the port is not a number"),
        ("redis://host/celery", "the path must be the number of a database, such as /0"),
        ("redis://host/0?timeout=3", "it has an unknown parameter 'timeout'; known are ssl_cert_reqs, "),
        (
            "redis://host/0?ssl_cert_reqs=none",
            "ssl_cert_reqs is for TLS, so the URL must begin with rediss://",
        ),
        (
            "rediss://host?ssl_cert_reqs=maybe",
            "ssl_cert_reqs is 'maybe', must be one of required, optional, none",
        ),
        ("rediss://host?ssl_cert_reqs=", "ssl_cert_reqs is '', must be one of required, optional, none"),
        ("rediss://host?ssl_cert_reqs=none&ssl_cert_reqs=required", "it has a parameter twice"),
        (
            "rediss://host?ssl_check_hostname=maybe",
            "ssl_check_hostname is 'maybe', must be one of true, false",
        ),
        ("rediss://host?ssl_ca_certs=/nowhere", "ssl_ca_certs: '/nowhere' cannot be read (No such file"),
        ("rediss://host?ssl_ca_certs=/dev/null", "ssl_ca_certs: '/dev/null' has no certificate in PEM"),
        ("rediss://host?ssl_keyfile=/dev/null", "ssl_keyfile requires ssl_certfile"),
        (
            "rediss://host?ssl_certfile=/dev/null",
            "ssl_certfile and ssl_keyfile are not a certificate and its",
        ),
        ("rediss://host?ssl_certfile=/nowhere", "ssl_certfile or ssl_keyfile: '/nowhere' cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_is_wrong_and_an_example(
    url: str, problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read_redis_url(url)
    message = str(caught.value)
    assert message.startswith(f"REDIS_URL: {problem}")
    assert message.endswith(f"Example: {EXAMPLE}")
    assert "planted" not in message
    assert "\n" not in message
