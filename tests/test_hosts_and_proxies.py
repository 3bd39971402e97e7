"""What a request says about its host and its proxy, to gunicorn with the shipped configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.tests.payloads import alert, body
from tests.installation import TOKEN, Installation
from tests.raw_http import Answer, Web, gunicorn, head

pytestmark = pytest.mark.processes

HOST = "amani.example"
WEBHOOK = "/api/v1/alerts/webhook"
PROBES = (
    *("/api/v1/health", "/api/v1/readiness", "/api/v1/ping", "/metrics"),
    *("/livez", "/readyz", "/-/healthy", "/-/ready"),
)
HOSTS: list[str | bytes | None] = [
    None,
    "",
    "amani_web:8000",
    "10.1.2.3:8000",
    "evil.example",
    b'<script>alert("x")</script>, \xff [::1',
    "h" * 5_000,
]
NAMES_OF_HOSTS = ("missing", "empty", "of_a_service", "of_a_pod", "unknown", "garbage", "very_long")
LOGIN = "/accounts/login/"
SECURE_CLAIMS = {"X-Forwarded-Proto": "https", "X-Forwarded-Protocol": "ssl", "X-Forwarded-SSL": "on"}
# As a client may send it, with `_` and with `-`: gunicorn does not distinguish them by itself.
PLACE_CLAIMS = {
    "SCRIPT_NAME": "/api",
    "Script-Name": "/api",
    "PATH_INFO": "/metrics",
    "Path-Info": "/metrics",
    "REMOTE_USER": "admin",
    "Remote-User": "admin",
    "REMOTE_ADDR": "203.0.113.7",
    "X_Forwarded_Proto": "https",
    "X-Forwarded-Prefix": "/api",
    "X-Script-Name": "/api",
}
# As behind a proxy that ends TLS.
IN_PRODUCTION = {
    "ALLOWED_HOSTS": HOST,
    "PUBLIC_URL": f"https://{HOST}",
    "FORWARDED_ALLOW_IPS": "*",
    "API_REQUESTS_PER_MINUTE_PER_ADDRESS": "3",
}


@pytest.fixture(scope="module", params=["port", "unix_socket"])
def web(
    request: pytest.FixtureRequest,
    running_installation: Installation,
    installation_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Web]:
    """Believes nothing; on a Unix socket gunicorn by itself would believe everybody."""
    over = {"port": {}, "unix_socket": {"WEB_BIND": f"unix:{installation_folder}/web.sock"}}[request.param]
    with gunicorn(running_installation, tmp_path_factory.mktemp("proxies"), **IN_PRODUCTION, **over) as web:
        yield web


@pytest.fixture(scope="module")
def trusting(running_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    variables = IN_PRODUCTION | {"TRUST_PROXY_SCHEME": "true", "TRUSTED_PROXY_COUNT": "1"}
    with gunicorn(running_installation, tmp_path_factory.mktemp("trusting"), **variables) as web:
        yield web


def post_alert(web: Web, host: str | bytes | None, **more: str) -> Answer:
    sent = body(alert(1, severity="info"))
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(len(sent))} | more
    return web.send(head("POST", WEBHOOK, host, headers), sent)


@pytest.mark.parametrize("host", HOSTS, ids=NAMES_OF_HOSTS)
def test_an_alert_is_stored_whatever_host_it_was_sent_to(
    web: Web, host: str | bytes | None, running_installation: Installation
) -> None:
    before = running_installation.count("receipt")
    assert post_alert(web, host).status == 200
    assert running_installation.count("receipt") == before + 1


@pytest.mark.parametrize("host", HOSTS, ids=NAMES_OF_HOSTS)
@pytest.mark.parametrize("path", PROBES)
def test_a_probe_is_answered_whatever_host_it_names(web: Web, path: str, host: str | bytes | None) -> None:
    if path == "/metrics" and isinstance(web.address, Path):
        assert web.get(path, host).status == 403, "a Unix socket has no network"
        return
    assert web.get(path, host).status == 200


def test_a_refused_host_is_named_with_the_setting_and_counted(trusting: Web) -> None:
    before = trusting.counted("http_requests_total", method="GET", endpoint="unmatched", status="400")
    answer = trusting.get("/api/v1/me", "evil.example", {"X-Forwarded-Proto": "https"})
    assert (answer.status, answer.json["code"]) == (400, "host_refused")
    assert answer.json["message"].startswith("The host “evil.example” is not in ALLOWED_HOSTS.")
    assert (
        trusting.counted("http_requests_total", method="GET", endpoint="unmatched", status="400")
        == before + 1
    )


@pytest.mark.parametrize("claim", SECURE_CLAIMS)
def test_a_claimed_scheme_is_not_believed(web: Web, claim: str) -> None:
    """It would get round the redirect to https, and let its sender pass for one on a safe connection."""
    answer = web.send(head("GET", LOGIN, HOST, {claim: SECURE_CLAIMS[claim]}))
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}{LOGIN}")
    assert "Strict-Transport-Security" not in answer.headers


def test_schemes_that_contradict_each_other_lose_no_alert(web: Web) -> None:
    """gunicorn refuses them where it believes them."""
    claims = {"X-Forwarded-Proto": "http", "X-Forwarded-SSL": "on"}
    assert post_alert(web, HOST, **claims).status == 200


@pytest.mark.parametrize("claim", PLACE_CLAIMS)
def test_a_claimed_place_or_person_is_not_believed(web: Web, claim: str) -> None:
    answer = web.send(head("GET", "/api/v1/ping", HOST, {claim: PLACE_CLAIMS[claim]}))
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    answer = web.send(head("GET", "/admin/", HOST, {claim: PLACE_CLAIMS[claim]}))
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/admin/")


@pytest.mark.parametrize("claim", ["SCRIPT_NAME", "Script-Name"])
def test_a_claimed_place_opens_no_other_address(trusting: Web, claim: str) -> None:
    secure = {"X-Forwarded-Proto": "https"}
    answer = trusting.send(head("GET", "/x/admin/", HOST, secure | {claim: "/x"}))
    assert answer.status == 404


@pytest.mark.parametrize("claim", ["SCRIPT_NAME", "Script-Name"])
def test_no_claimed_place_loses_an_alert(web: Web, claim: str) -> None:
    assert post_alert(web, HOST, **{claim: "/elsewhere"}).status == 200


def answered(web: Web, path: str, claims: dict[str, str]) -> int:
    return web.send(head("GET", path, HOST, claims)).status


def test_the_proxy_s_scheme_is_believed_when_the_setting_says_so(trusting: Web) -> None:
    https = trusting.send(head("GET", LOGIN, HOST, {"X-Forwarded-Proto": "https"}))
    assert (https.status, https.headers["Strict-Transport-Security"]) == (
        200,
        "max-age=31536000; includeSubDomains; preload",
    )
    http = trusting.send(head("GET", LOGIN, HOST, {"X-Forwarded-Proto": "http"}))
    assert (http.status, http.headers["Location"]) == (301, f"https://{HOST}{LOGIN}")


@pytest.mark.parametrize("claim", ["X-Forwarded-Protocol", "X-Forwarded-SSL"])
def test_only_the_header_that_the_setting_names_is_believed(trusting: Web, claim: str) -> None:
    """A proxy sets X-Forwarded-Proto and passes the others on as the client sent them."""
    answer = trusting.send(
        head("GET", LOGIN, HOST, {"X-Forwarded-Proto": "http", claim: SECURE_CLAIMS[claim]})
    )
    assert answer.status == 301


def test_the_proxy_s_view_of_the_address_is_believed_when_the_setting_says_so(trusting: Web) -> None:
    """Three requests a minute for each address that the one proxy appended."""

    def ask(address: str) -> int:
        claims = {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"10.0.0.9, {address}"}
        return answered(trusting, "/api/v1/me", claims)

    assert [ask(f"203.0.113.{number}") for number in range(1, 9)] == [401] * 8
    assert 429 in [ask("203.0.113.1") for _ in range(8)]
