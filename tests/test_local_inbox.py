"""The inbox of `make run`: Slack's and PagerDuty's answers over real HTTP, a page that nothing breaks."""

import re
import threading
from base64 import b64encode
from collections.abc import Callable, Generator
from datetime import datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from local import configuration, inbox, monitoring
from local.configuration import Configuration
from local.inbox.cards import card_of
from local.inbox.page import Received, page
from local.inbox.server import LARGEST_BODY, Inbox
from local.ports import find_free_port
from local.run import inbox_address
from observability.notifiers.base import Delivered, Kind, VendorResponse
from observability.notifiers.pagerduty.format import event_for
from observability.notifiers.pagerduty.notifier import PagerDuty
from observability.notifiers.slack.format import payload_for
from observability.notifiers.slack.notifier import Slack
from observability.notifiers.tests.facts import alert, message, storm
from observability.tests.waiting import ANSWER_SECONDS

# What Alertmanager 0.25 posts with deploy/alertmanager/alertmanager.yml, shortened.
FROM_ALERTMANAGER: dict[str, Any] = {
    "username": "Alertmanager",
    "attachments": [
        {
            "title": "FIRING: amani, sent by Alertmanager",
            "title_link": "http://localhost:9093/",
            "text": "*critical* Amani is down (firing). No scrape for 1 min. "
            "<http://localhost:8000/runbooks/ApplicationDown|ApplicationDown>\n",
            "fallback": "[FIRING:1] amani",
        }
    ],
}


@pytest.fixture
def running() -> Generator[Inbox]:
    with Inbox(find_free_port()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def url(running: Inbox) -> str:
    return f"http://127.0.0.1:{running.server_port}"


def trigger(**changes: Any) -> dict[str, Any]:
    payload = {"summary": "It burns", "source": "web-1", "severity": "critical"}
    return {"routing_key": "k", "event_action": "trigger", "dedup_key": "d", "payload": payload} | changes


def shown(url: str) -> str:
    answer = requests.get(f"{url}/", timeout=ANSWER_SECONDS)
    assert answer.status_code == 200
    return answer.text.partition("<main")[2].partition("</main>")[0]


# --- the contracts ---


def test_slack_takes_a_message_as_slack_does(url: str) -> None:
    answer = requests.post(f"{url}/slack", json=payload_for(message()), timeout=ANSWER_SECONDS)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert Slack().meaning_of(VendorResponse(200, answer.text)) == Delivered()


def test_pagerduty_takes_an_event_as_pagerduty_does(url: str) -> None:
    answer = requests.post(
        f"{url}/pagerduty", json=event_for(message(), routing_key=inbox.ROUTING_KEY), timeout=ANSWER_SECONDS
    )
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "amani-00112233aabbccdd-1",
    }
    assert PagerDuty().meaning_of(VendorResponse(202, answer.text)) == Delivered()


def test_an_event_without_a_key_of_its_own_gets_one(url: str) -> None:
    event = trigger()
    del event["dedup_key"]
    assert re.fullmatch(
        "[0-9a-f]{32}",
        requests.post(f"{url}/pagerduty", json=event, timeout=ANSWER_SECONDS).json()["dedup_key"],
    )


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":' * 990 + b"1" + b"}" * 990]
)
def test_what_is_no_json_object_is_refused_by_both(url: str, body: bytes) -> None:
    slack = requests.post(f"{url}/slack", data=body, timeout=ANSWER_SECONDS)
    assert (slack.status_code, slack.text) == (400, "invalid_payload")
    pagerduty = requests.post(f"{url}/pagerduty", data=body, timeout=ANSWER_SECONDS)
    assert pagerduty.status_code == 400
    assert pagerduty.json() == {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["the body is not a JSON object"],
    }
    assert "No message yet" in shown(url)


def test_a_slack_message_that_says_nothing_is_refused(url: str) -> None:
    answer = requests.post(f"{url}/slack", json={"text": "", "blocks": []}, timeout=ANSWER_SECONDS)
    assert (answer.status_code, answer.text) == (400, "no_text")
    assert "No message yet" in shown(url)


@pytest.mark.parametrize(
    ("event", "errors"),
    [
        (trigger(event_action="shout"), ["'event_action' must be trigger, acknowledge or resolve"]),
        (trigger(routing_key=""), ["'routing_key' is missing"]),
        (trigger(payload={"summary": "x", "source": 7, "severity": "info"}), ["'payload.source' is missing"]),
        ({"routing_key": "k", "event_action": "resolve"}, ["'dedup_key' is missing"]),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_with_a_reason(
    url: str, event: dict[str, Any], errors: list[str]
) -> None:
    answer = requests.post(f"{url}/pagerduty", json=event, timeout=ANSWER_SECONDS)
    assert answer.status_code == 400
    assert answer.json()["errors"] == errors
    assert "No message yet" in shown(url)


def test_a_body_over_the_limit_is_refused_and_the_next_one_taken(url: str) -> None:
    with requests.Session() as session:
        answer = session.post(f"{url}/slack", data=b" " * (LARGEST_BODY + 1), timeout=ANSWER_SECONDS)
        assert answer.status_code == 413
        assert (
            session.post(f"{url}/slack", json={"text": "after it"}, timeout=ANSWER_SECONDS).status_code == 200
        )
    assert "<h2>after it</h2>" in shown(url)


def test_other_paths_are_not_there(url: str) -> None:
    assert requests.get(f"{url}/slack", timeout=ANSWER_SECONDS).status_code == 404
    assert requests.post(f"{url}/", json={"text": "x"}, timeout=ANSWER_SECONDS).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"Host": "attacker.example"}),
        ("/slack", {"Host": "attacker.example"}),
        ("/slack", {"Host": ""}),
        ("/slack", {"Origin": "https://attacker.example"}),
        ("/slack", {"Origin": "null"}),
        ("/pagerduty", {"Origin": "http://localhost:1"}),
        ("/", {"Origin": "https://attacker.example"}),
    ],
)
def test_a_page_of_the_web_neither_reads_nor_writes(url: str, path: str, headers: dict[str, str]) -> None:
    """Not under a name of its own that leads here (DNS rebinding), and not from its own origin."""
    method = "GET" if path == "/" else "POST"
    answer = requests.request(
        method, f"{url}{path}", json={"text": "x"}, headers=headers, timeout=ANSWER_SECONDS
    )
    assert answer.status_code == 403
    assert "messages" not in answer.text
    assert "No message yet" in shown(url)


def test_the_inbox_has_two_names_and_its_own_origin(running: Inbox, url: str) -> None:
    for name in ("localhost", "127.0.0.1"):
        own = f"http://{name}:{running.server_port}"
        headers = {"Host": own.removeprefix("http://"), "Origin": own}
        posted = requests.post(f"{url}/slack", json={"text": name}, headers=headers, timeout=ANSWER_SECONDS)
        assert posted.status_code == 200
        assert f"<h2>{name}</h2>" in shown(url)


# --- the page ---


def test_the_newest_message_is_on_top_and_a_resolve_says_what_was_resolved(url: str) -> None:
    requests.post(f"{url}/pagerduty", json=trigger(), timeout=ANSWER_SECONDS)
    resolve = {"routing_key": "k", "event_action": "resolve", "dedup_key": "d"}
    requests.post(f"{url}/pagerduty", json=resolve, timeout=ANSWER_SECONDS)
    requests.post(f"{url}/slack", json=payload_for(message(Kind.RESOLVE)), timeout=ANSWER_SECONDS)
    main = shown(url)
    assert re.findall("<h2>(.*)</h2>", main) == [
        "✅ RESOLVED (critical): HighErrorRate",
        "It burns",
        "It burns",
    ]
    assert re.findall('<article.* data-tone="(.*)">', main) == ["resolve", "resolve", "critical"]
    assert re.findall('class="mark channel"[^>]*>(.*?)<', main) == ["Slack", "PagerDuty", "PagerDuty"]


@pytest.mark.parametrize(
    "body", [payload_for(message()), event_for(message(), routing_key="k")], ids=["slack", "pagerduty"]
)
def test_a_message_shows_what_happened_where_and_its_links(url: str, body: dict[str, Any]) -> None:
    path = "/pagerduty" if "routing_key" in body else "/slack"
    assert requests.post(url + path, json=body, timeout=ANSWER_SECONDS).ok
    main = shown(url)
    assert '<article id="m' in main
    assert 'data-tone="critical">' in main
    assert "7.2 % of requests fail" in main
    assert "More than 5 % of all requests in 5 min answered 5xx." in main
    assert "web-1:8000" in main.partition("<details>")[0]
    for address in ("https://runbooks.example/HighErrorRate", "https://amani.example/admin/alerts/1"):
        assert f'<a href="{address}" target="_blank" rel="noopener noreferrer">' in main


def test_what_alertmanager_sends_by_itself_is_readable(url: str) -> None:
    assert requests.post(f"{url}/slack", json=FROM_ALERTMANAGER, timeout=ANSWER_SECONDS).text == "ok"
    main = shown(url)
    assert "<h2>FIRING: amani, sent by Alertmanager</h2>" in main
    assert 'data-tone="critical">' in main
    assert "<b>critical</b> Amani is down (firing). No scrape for 1 min. " in main
    assert '<a href="http://localhost:8000/runbooks/ApplicationDown"' in main


def test_a_digest_names_its_alerts_and_still_fires_while_one_does(url: str) -> None:
    alerts = (*storm(2), alert(status="resolved"))
    requests.post(f"{url}/slack", json=payload_for(message(Kind.DIGEST, *alerts)), timeout=ANSWER_SECONDS)
    main = shown(url)
    assert "<h2>🔴 CRITICAL: 2 alerts firing, 1 resolved</h2>" in main
    assert 'data-tone="critical">' in main


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
KNOWN_TAGS = set("article header span time h2 p dl div dt dd b code a details summary pre".split())  # noqa: SIM905
SCRIPT = "javascript:alert(1)"
DETAILS = {"summary": HOSTILE, "source": HOSTILE, "severity": HOSTILE, "custom_details": {HOSTILE: HOSTILE}}
PARTS = {"title": HOSTILE, "title_link": SCRIPT, "text": HOSTILE, "fields": [{"title": HOSTILE}]}
BLOCKS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": f"<{SCRIPT}|click> `{HOSTILE}` *{HOSTILE}*"}},
    {"type": "section", "fields": [{"type": "mrkdwn", "text": f"{HOSTILE}\n&lt;script&gt;"}]},
    {"type": "context", "elements": [{"type": "plain_text", "text": HOSTILE}]},
]
FORGED: list[dict[str, Any]] = [
    trigger(payload=DETAILS),
    trigger(links=[{"href": SCRIPT, "text": HOSTILE}], client_url=SCRIPT, dedup_key=HOSTILE),
    {"text": HOSTILE},
    {"attachments": [PARTS]},
    {"blocks": BLOCKS},
]


class Tags(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize("body", FORGED)
def test_a_message_brings_no_tag_and_no_script_link_of_its_own(url: str, body: dict[str, Any]) -> None:
    path = "/pagerduty" if "event_action" in body else "/slack"
    assert requests.post(url + path, json=body, timeout=ANSWER_SECONDS).ok
    main = shown(url)
    assert "alert(1)" in main
    found = Tags(main)
    assert found.names <= KNOWN_TAGS
    assert found.attributes <= {"id", "data-tone", "class", "datetime"}
    assert found.addresses == []


def test_the_page_runs_only_its_own_style_and_script(url: str) -> None:
    answer = requests.get(f"{url}/", timeout=ANSWER_SECONDS)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for kind in ("style", "script"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_201st_message_drops_the_first(url: str) -> None:
    with requests.Session() as session:
        for number in range(201):
            assert (
                session.post(f"{url}/slack", json={"text": f"message {number}."}, timeout=ANSWER_SECONDS).text
                == "ok"
            )
    main = shown(url)
    assert main.count("<article") == 200
    assert "message 200." in main
    assert "message 1." in main
    assert "message 0." not in main
    assert "the newest 200 of 201" in requests.get(f"{url}/", timeout=ANSWER_SECONDS).text


def test_half_a_surrogate_pair_does_not_break_the_page(url: str) -> None:
    assert (
        requests.post(f"{url}/slack", data=b'{"text": "half \\ud83d"}', timeout=ANSWER_SECONDS).text == "ok"
    )
    assert "<h2>half ?</h2>" in shown(url)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
INNER = ("type", "title", "text", "fields", "elements", "href", "custom_details")
PART = st.fixed_dictionaries({}, optional=dict.fromkeys(INNER, JSON))
NAMES = ("text", "blocks", "attachments", "payload", "links", "client_url", "dedup_key", "event_action")
BODY = st.fixed_dictionaries({}, optional={name: JSON | PART | st.lists(PART, max_size=3) for name in NAMES})


@given(channel=st.sampled_from(["Slack", "PagerDuty"]), body=BODY)
def test_no_shape_of_a_message_breaks_the_page(channel: str, body: dict[str, Any]) -> None:
    received = Received(channel, datetime.now().astimezone(), card_of(channel, body), "{}")
    assert page([received], total=1).count("<article") == 1


# --- the launcher ---

Configured = Callable[..., Configuration]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configured:
    monkeypatch.setattr(configuration, "RUN", tmp_path)

    def configured(**given: str) -> Configuration:
        ports = {"port": 8000, "prometheus_port": 9090, "alertmanager_port": 9093, "inbox_port": 8325}
        return Configuration(given=given, host="127.0.0.1", **ports)

    return configured


def test_where_nothing_is_set_up_everything_goes_to_the_inbox(configured: Configured) -> None:
    found = configured(SLACK_WEBHOOK_URL="")
    values = found.defaults({})
    assert {name: values[name] for name in configuration.CHANNEL_VARIABLES if name in values} == {
        "SLACK_WEBHOOK_URL": "http://127.0.0.1:8325/slack",
        "PAGERDUTY_API_KEY": inbox.ROUTING_KEY,
        "PAGERDUTY_EVENTS_URL": "http://127.0.0.1:8325/pagerduty",
    }
    assert inbox_address(found) == (
        "http://localhost:8325/  stands in for Slack and PagerDuty: "
        "SLACK_WEBHOOK_URL and PAGERDUTY_API_KEY set the real ones"
    )


@pytest.mark.parametrize("variable", [*configuration.CHANNEL_VARIABLES, "SLACK_WEBHOOK_URL_FILE"])
def test_a_channel_that_is_set_up_keeps_the_inbox_away(configured: Configured, variable: str) -> None:
    found = configured(**{variable: "something"})
    assert not found.has_inbox
    assert not set(configuration.CHANNEL_VARIABLES) & set(found.defaults({}))
    assert inbox_address(found) == f"not needed: {variable.removesuffix('_FILE')} is set"


@pytest.mark.parametrize("debug", ["false", "0", "off"])
def test_there_is_no_inbox_with_debug_off(configured: Configured, debug: str) -> None:
    found = configured(DEBUG=debug)
    assert not found.has_inbox
    assert not set(configuration.CHANNEL_VARIABLES) & set(found.defaults({}))


def test_after_the_stop_nothing_sends_to_the_inbox(configured: Configured, tmp_path: Path) -> None:
    configuration.write_env_file(configured().defaults({}))
    assert set(inbox.settings(8325)) <= set(dotenv_values(tmp_path / "env"))
    configuration.forget_env_file()
    assert not (tmp_path / "env").exists()


def test_alertmanager_pages_the_inbox_too(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "RUN", tmp_path)
    values = configured().defaults({})
    folder = monitoring.render("alertmanager", configured(), values["PAGERDUTY_EVENTS_URL"])
    text = (folder / "alertmanager.yml").read_text()
    assert '\nglobal:\n  pagerduty_url: "http://127.0.0.1:8325/pagerduty"\n  resolve_timeout' in text
    monitoring.write_secrets(folder, lambda variable: values.get(variable, ""))
    assert {file.name: file.read_text() for file in (folder / "secrets").iterdir()} == {
        "alert_webhook_token": values["ALERT_WEBHOOK_TOKEN"],
        "slack_webhook_url": "http://127.0.0.1:8325/slack",
        "pagerduty_api_key": inbox.ROUTING_KEY,
    }
