"""Every route takes a body in chunks as it takes one with Content-Length: whole, and within its limit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
import requests

from kyc.providers.tests.smile_stand_in import signed_at
from observability.tests.payloads import alert, body
from tests.faults.applicants import PICTURES, Person, make_people
from tests.installation import TOKEN, Installation
from tests.raw_http import Answer, Web, chunk, chunks, gunicorn, head, in_chunks

pytestmark = pytest.mark.processes

WEBHOOK = "/api/v1/alerts/webhook"
WEBHOOK_LIMIT = 100_000
CALLBACK_LIMIT = 2 * 1024 * 1024
DJANGO_LIMIT = 65_536  # DATA_UPLOAD_MAX_MEMORY_SIZE
ALLAUTH_LIMIT = 65_536
FILE_LIMIT = 200_000
MALFORMED = b"5\r\nhello\r\nzz\r\n"
SLACK = 4096  # gunicorn reads in steps: a single byte beyond the limit would not be seen at once


class Route(NamedTuple):
    """How a route is called with a good body, and what it answers to that and to bad ones."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    says: str
    limit: int
    too_large: str
    malformed: str
    broken_off: int = 400

    def send(self, web: Web, *parts: bytes, ends: bool = False) -> Answer:
        return web.send(*in_chunks(self.method, self.path, self.headers, parts), ends=ends)


def webhook(_web: Web, _person: Person) -> Route:
    return Route(
        method="POST",
        path=WEBHOOK,
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        body=body(alert(1, severity="info")),
        status=200,
        says='"set_aside": 0',
        limit=WEBHOOK_LIMIT,
        too_large="The body has more than 100,000 bytes, the limit is 100,000.",
        malformed='"not_a_payload", "message": "The chunks of the body are malformed. Send it again."',
        broken_off=503,
    )


def callback(_web: Web, _person: Person) -> Route:
    content = {"PartnerParams": {"job_id": "unknown-reference"}, **signed_at(datetime.now(UTC))}
    return Route(
        method="POST",
        path="/api/v1/kyc/webhooks/smile_id",
        headers={"Content-Type": "application/json"},
        body=json.dumps(content).encode(),
        status=200,
        says='{"stored": true}',
        limit=CALLBACK_LIMIT,
        too_large="The body is longer than 2,097,152 bytes.",
        malformed="The chunks of the body are malformed. Send it again.",
        broken_off=503,
    )


def json_api(_web: Web, person: Person) -> Route:
    return Route(
        method="PATCH",
        path="/api/v1/me",
        headers={"X-Session-Token": person.token, "Content-Type": "application/json"},
        body=json.dumps({"full_name": "Grace Obi"}).encode(),
        status=200,
        says='"full_name": "Grace Obi"',
        limit=DJANGO_LIMIT,
        too_large='"code": "too_large"',
        malformed="The chunks of the body are malformed. Send it again.",
    )


def allauth(_web: Web, _person: Person) -> Route:
    return Route(
        method="POST",
        path="/_allauth/app/v1/auth/login",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"email": "nobody@example.com", "password": "wrong"}).encode(),
        status=400,
        says='"code": "email_password_mismatch"',
        limit=ALLAUTH_LIMIT,
        too_large='"code": "too_large"',
        malformed="The chunks of the body are malformed. Send it again.",
    )


def form(web: Web, _person: Person) -> Route:
    page = web.get("/accounts/login/")
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None
    fields = {"csrfmiddlewaretoken": found[1], "login": "nobody@example.com", "password": "wrong"}
    return Route(
        method="POST",
        path="/accounts/login/",
        headers={"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(fields).encode(),
        status=200,
        says="The email address and/or password you specified are not correct.",
        limit=DJANGO_LIMIT,
        too_large="<h1>Request too large</h1>",
        malformed="<h1>Malformed request</h1>",
    )


def upload(_web: Web, person: Person) -> Route:
    fields = {"document_type": "nin", "country": "NG", "number": person.nin}
    files = {"selfie": ("selfie.jpg", PICTURES["selfie"], "image/jpeg")}
    made = requests.Request("POST", "http://127.0.0.1/", data=fields, files=files).prepare()
    assert isinstance(made.body, bytes)
    return Route(
        method="POST",
        path="/api/v1/kyc/cases",
        headers={"X-Session-Token": person.token, "Content-Type": made.headers["Content-Type"]},
        body=made.body,
        status=201,
        says='"state": "submitted"',
        limit=4 * FILE_LIMIT,
        too_large='"code": "too_large"',
        malformed="The chunks of the body are malformed. Send it again.",
    )


Builder = Callable[[Web, Person], Route]
ROUTES = [webhook, callback, json_api, allauth, form, upload]


@pytest.fixture(scope="module")
def web(running_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    limits = {"ALERT_WEBHOOK_MAX_BYTES": str(WEBHOOK_LIMIT), "KYC_MAX_FILE_BYTES": str(FILE_LIMIT)}
    with gunicorn(running_installation, tmp_path_factory.mktemp("chunks"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def people(web: Web, running_installation: Installation) -> Iterator[Person]:
    return make_people(running_installation, len(ROUTES))[0]


@pytest.fixture(scope="module")
def route_of(web: Web, people: Iterator[Person]) -> Callable[[Builder], Route]:
    """`route_of(builder)` is that route for a person of its own, the same in each test."""
    made: dict[Builder, Route] = {}

    def find(builder: Builder) -> Route:
        if builder not in made:
            made[builder] = builder(web, next(people))
        return made[builder]

    return find


@pytest.fixture
def nothing_moves(running_installation: Installation) -> Iterator[None]:
    """The test leaves no receipt, callback, case or changed person behind."""

    def held() -> list[tuple[int, ...]]:
        return running_installation.rows(
            "SELECT (SELECT count(*) FROM observability_receipt), (SELECT count(*) FROM kyc_providerevent),"
            " (SELECT count(*) FROM kyc_case),"
            " (SELECT count(*) FROM accounts_user WHERE full_name = 'Grace Obi')"
        )

    before = held()
    yield
    assert held() == before


RouteOf = Callable[[Builder], Route]
of_every_route = pytest.mark.parametrize("builder", ROUTES, ids=[one.__name__ for one in ROUTES])


@of_every_route
def test_a_body_in_chunks_is_taken(web: Web, route_of: RouteOf, builder: Builder) -> None:
    route = route_of(builder)
    answer = route.send(web, *chunks(route.body, 97))
    assert answer.status == route.status, answer.text
    assert route.says in answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_a_body_is_refused_while_it_is_read_beyond_the_limit(
    web: Web, route_of: RouteOf, builder: Builder
) -> None:
    """It never ends, so that an answer shows that nobody waited for its end."""
    route = route_of(builder)
    answer = route.send(
        web, *[chunk(b" " * 50_000)] * (route.limit // 50_000), chunk(b" " * (50_000 + SLACK))
    )
    assert answer.status == 413, answer.text
    assert route.too_large in answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_malformed_chunks_are_refused(web: Web, route_of: RouteOf, builder: Builder) -> None:
    route = route_of(builder)
    answer = route.send(web, MALFORMED)
    assert answer.status == 400, answer.text
    assert route.malformed in answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_a_body_in_chunks_that_breaks_off_is_not_acted_on(
    web: Web, route_of: RouteOf, builder: Builder
) -> None:
    route = route_of(builder)
    answer = route.send(web, chunk(route.body), ends=True)
    assert answer.status == route.broken_off, answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_a_body_with_a_length_that_breaks_off_is_not_acted_on(
    web: Web, route_of: RouteOf, builder: Builder
) -> None:
    """As long as the whole body: of a form, the beginning would pass for all of it."""
    route = route_of(builder)
    headers = route.headers | {"Content-Length": str(len(route.body) + 1)}
    answer = web.send(head(route.method, route.path, "127.0.0.1", headers), route.body, ends=True)
    assert answer.status == route.broken_off, answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_a_compressed_body_in_chunks_is_refused(web: Web, route_of: RouteOf, builder: Builder) -> None:
    """gunicorn undoes the chunks and leaves the rest as it is."""
    route = route_of(builder)
    headers = route.headers | {"Transfer-Encoding": "gzip, chunked"}
    answer = web.send(head(route.method, route.path, "127.0.0.1", headers), *chunks(route.body, 97))
    assert answer.status == 400, answer.text


@of_every_route
@pytest.mark.usefixtures("nothing_moves")
def test_a_request_with_both_headers_is_refused_by_gunicorn(
    web: Web, route_of: RouteOf, builder: Builder
) -> None:
    route = route_of(builder)
    headers = route.headers | {"Content-Length": str(len(route.body)), "Transfer-Encoding": "chunked"}
    answer = web.send(head(route.method, route.path, "127.0.0.1", headers), *chunks(route.body, 97))
    assert (answer.status, answer.headers["Connection"]) == (400, "close")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/accounts/login/"),
        ("POST", "/admin/"),
        ("POST", "/_allauth/app/v1/auth/login"),
        ("POST", "/_allauth/browser/v1/auth/login"),
        ("PATCH", "/api/v1/me"),
        ("POST", "/api/v1/kyc/cases/3f333df6-90a4-4fda-8dd3-9485d27cee36/withdraw"),
    ],
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_only_uploads_may_be_longer_than_64_kb(
    web: Web, route_of: RouteOf, method: str, path: str, kind: str
) -> None:
    """Announced only: an answer shows that nothing of it was read."""
    cookie = {"Cookie": f"csrftoken={'x' * 32}"}  # so that Django looks for the form's token
    length = {"Content-Type": kind, "Content-Length": str(DJANGO_LIMIT + 1)}
    answer = web.send(head(method, path, "127.0.0.1", route_of(upload).headers | length | cookie))
    assert answer.status == 413, answer.text


def test_an_upload_is_not_read_before_its_person_is_known(web: Web) -> None:
    length = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(4 * FILE_LIMIT)}
    assert web.send(head("POST", "/api/v1/kyc/cases", "127.0.0.1", length)).status == 401


def test_a_webhook_in_chunks_is_stored_byte_for_byte(web: Web, running_installation: Installation) -> None:
    route = webhook(web, Person(0, "", 0))
    sent = body(
        alert(777_777, severity="info", annotations={"summary": "Grüße \u0000 😀"}), groupKey="{}:chunks"
    )
    answer = route.send(web, *chunks(sent, 7))
    assert (answer.status, answer.json["stored"]) == (200, 1)
    query = "SELECT outcome::text, size, body FROM observability_receipt WHERE id = %s"
    ((outcome, size, stored),) = running_installation.rows(query, answer.json["receipt"])
    assert (outcome, size, bytes(stored)) == ("stored", len(sent), sent)


def test_what_is_refused_of_a_webhook_in_chunks_is_counted(web: Web) -> None:
    def counted() -> list[float]:
        rejections = "amani_alert_webhook_rejections_total"
        requests_of = {"endpoint": WEBHOOK, "method": "POST"}
        return [
            *[
                web.counted(rejections, reason=reason)
                for reason in ("too_large", "not_a_payload", "unavailable")
            ],
            *[
                web.counted("http_requests_total", status=status, **requests_of)
                for status in ("413", "400", "503")
            ],
        ]

    route = webhook(web, Person(0, "", 0))
    before = counted()
    route.send(web, *[chunk(b" " * WEBHOOK_LIMIT), chunk(b" " * SLACK)])
    route.send(web, MALFORMED)
    route.send(web, chunk(b"{"), ends=True)
    assert counted() == [number + 1 for number in before]


def test_a_webhook_without_its_token_is_refused_before_its_body_is_read(web: Web) -> None:
    answer = web.send(*in_chunks("POST", WEBHOOK, {"Authorization": "Bearer wrong"}, [chunk(b"{")]))
    assert answer.status == 401


def test_a_webhook_with_neither_header_says_what_to_send(web: Web) -> None:
    answer = web.send(head("POST", WEBHOOK, "127.0.0.1", {"Authorization": f"Bearer {TOKEN}"}))
    assert answer.status == 411
    assert answer.json["message"] == "Send the header Content-Length, or Transfer-Encoding: chunked."


def test_the_next_request_on_the_connection_is_answered_after_a_body_in_chunks(web: Web) -> None:
    route = webhook(web, Person(0, "", 0))
    ping = head("GET", "/api/v1/ping", "127.0.0.1", {"Connection": "close"})
    parts = in_chunks(route.method, route.path, route.headers, chunks(route.body, 97))
    with web.connect() as connection:
        connection.sendall(b"".join([*parts, ping]))
        with connection.makefile("rb") as answers:
            said = answers.read()
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.endswith(b'{"status": "ok"}')
