"""The tests' own Sentry server, asked by a plain client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
import requests
import sentry_sdk

from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS
from tests.stack.bugsink import Bugsink, Project

pytestmark = pytest.mark.stack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def scope_of(project: Project) -> Iterator[sentry_sdk.Scope]:
    """A client that is nobody else's: the SDK's global one stays as it is."""
    client = sentry_sdk.Client(dsn=project.dsn, default_integrations=False, release="amani@1.2.3")
    with sentry_sdk.isolation_scope(), sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        yield scope
    client.close(timeout=PATIENCE_SECONDS)


def send_error(project: Project, text: str) -> str:
    """The id of an event with a tag, a breadcrumb, a trace and an exception."""
    with scope_of(project) as scope:
        scope.set_tag("request_id", "request-of-the-test")
        scope.set_context("trace", {"trace_id": TRACE_ID, "span_id": "b7ad6b7169203331"})
        scope.add_breadcrumb(message="SELECT 1", category="query", level="info")
        try:
            fail(text)
        except RuntimeError as error:
            event_id = scope.capture_exception(error)
    assert event_id is not None
    return event_id


def fail(text: str) -> NoReturn:
    raise RuntimeError(text)


def test_an_event_is_read_back_by_its_id(bugsink: Bugsink) -> None:
    project = bugsink.new_project()
    event_id = send_error(project, "It failed on purpose.")

    event = project.wait_for_event(lambda event: event["event_id"] == event_id)
    assert event["contexts"]["trace"]["trace_id"] == TRACE_ID
    assert event["tags"] == {"request_id": "request-of-the-test"}
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["SELECT 1"]
    (exception,) = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "It failed on purpose.")
    assert exception["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["release"] == "amani@1.2.3"
    (envelope,) = project.envelopes()
    assert b"It failed on purpose." in envelope


def test_the_same_error_twice_is_one_issue_of_two_events(bugsink: Bugsink) -> None:
    project = bugsink.new_project()
    sent = {send_error(project, "again"), send_error(project, "again")}
    assert {event["event_id"] for event in project.events()} == sent
    (issue,) = project.issues()
    assert issue["digested_event_count"] == 2


def test_projects_do_not_see_each_other(bugsink: Bugsink) -> None:
    one, other = bugsink.new_project(), bugsink.new_project()
    send_error(one, "in one")
    assert len(one.events()) == 1
    assert other.events() == []
    assert other.envelopes() == []


def test_what_the_server_has_no_page_for_is_kept_too(bugsink: Bugsink) -> None:
    project = bugsink.new_project()
    with scope_of(project) as scope:
        scope.capture_event({"type": "transaction", "transaction": "GET /of-the-test", "spans": []})
    (envelope,) = project.envelopes()
    assert b"GET /of-the-test" in envelope
    assert project.events() == []


def test_a_dsn_with_a_wrong_key_gets_nothing_in(bugsink: Bugsink) -> None:
    project = bugsink.new_project()
    address, _, number = project.dsn.rpartition("/")
    key = address.partition("//")[2].partition("@")[0]
    refused = requests.post(
        f"{bugsink.url}/api/{number}/store/",
        json={"message": "let me in"},
        headers={"X-Sentry-Auth": f"Sentry sentry_key={'0' * len(key)}, sentry_version=7"},
        timeout=ANSWER_SECONDS,
    )
    assert refused.status_code in (401, 403, 404)
    assert project.events() == []
