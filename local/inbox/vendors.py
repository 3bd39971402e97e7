"""What Slack and PagerDuty answer, as far as their documentation says; not their limits of length and rate.

Slack: "Sending messages using incoming webhooks". PagerDuty: "Events API v2".
"""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    status: int
    content_type: str
    text: str


def text_answer(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text)


def json_answer(status: int, content: Mapping[str, Any]) -> Answer:
    return Answer(status, "application/json", json.dumps(content))


def slack_answer(body: dict[str, Any] | None) -> Answer:
    if body is None:
        return text_answer(400, "invalid_payload")
    if not any(body.get(name) for name in ("text", "blocks", "attachments")):
        return text_answer(400, "no_text")
    return text_answer(200, "ok")


def pagerduty_answer(body: dict[str, Any] | None) -> Answer:
    errors = ["the body is not a JSON object"] if body is None else list(faults_of_event(body))
    if body is None or errors:
        content = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return json_answer(400, content)
    key = body.get("dedup_key") or secrets.token_hex(16)
    return json_answer(202, {"status": "success", "message": "Event processed", "dedup_key": key})


def faults_of_event(event: dict[str, Any]) -> list[str]:
    action, payload = event.get("event_action"), event.get("payload")
    if action not in ("trigger", "acknowledge", "resolve"):
        return ["'event_action' must be trigger, acknowledge or resolve"]
    wanted: dict[str, Any] = {"routing_key": event.get("routing_key")}
    if action == "trigger":
        given = payload if isinstance(payload, dict) else {}
        wanted |= {f"payload.{name}": given.get(name) for name in ("summary", "source", "severity")}
    else:
        wanted["dedup_key"] = event.get("dedup_key")
    return [f"'{name}' is missing" for name, value in wanted.items() if not is_text(value)]


def is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


AnswerTo = Callable[[dict[str, Any] | None], Answer]  # None: the body was no JSON object
CHANNELS: dict[str, tuple[str, AnswerTo]] = {
    "/slack": ("Slack", slack_answer),
    "/pagerduty": ("PagerDuty", pagerduty_answer),
}
