"""No secret of labels, annotations or contexts reaches Slack, PagerDuty or the stored answers."""

from collections.abc import Callable
from typing import Any

import pytest

from core.tests.planted import PLANTED, found_in
from observability.alerts import send_alert
from observability.alerts.delivery import drain
from observability.models import Attempt, Episode, Receipt
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]
WORDED = [planted for planted in PLANTED.values() if planted.wording != "{}"]


def sent_to(*vendors: Vendor) -> bytes:
    return "\n".join(str(body) for vendor in vendors for body in vendor.bodies()).encode()


def test_labels_and_annotations_leave_without_their_secrets(
    post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    for number, planted in enumerate(WORDED):
        labels = {"note": planted.text, "db_password": planted.value}
        annotations = {"summary": planted.text, "description": planted.text}
        post_alerts(alert(number, labels=labels, annotations=annotations))
        drain("slack")
        drain("pagerduty")
    sent = sent_to(slack, pagerduty)
    assert [planted.mark for planted in WORDED if planted.mark.encode() not in sent] == []
    assert [found for planted in WORDED for found in found_in(sent, planted.value)] == []


def test_what_came_is_kept_inside(post_alerts: Post) -> None:
    post_alerts(alert(1, labels={"owner": "team@example.com"}))
    assert Episode.objects.get().labels["owner"] == "team@example.com"
    assert b"team@example.com" in bytes(Receipt.objects.get().body)


def test_messages_from_code_leave_without_their_secrets(slack: Vendor, pagerduty: Vendor) -> None:
    for planted in WORDED:
        context = {"note": planted.text, "card": planted.value, "customer": {"pin": planted.value}}
        send_alert(planted.text, severity="critical", context=context)
        drain("slack")
        drain("pagerduty")
    sent = sent_to(slack, pagerduty)
    assert [planted.mark for planted in WORDED if planted.mark.encode() not in sent] == []
    assert [found for planted in WORDED for found in found_in(sent, planted.value)] == []


def test_a_context_is_stored_without_its_secrets() -> None:
    episode = send_alert("x", context={"pin": 1234, "iban": "GB82WEST12345698765432", "amount": 5000000000})
    assert episode.labels == {"pin": "[redacted]", "iban": "[redacted]", "amount": "5000000000"}


def test_a_vendors_answer_is_stored_without_what_it_repeats(post_alerts: Post, slack: Vendor) -> None:
    slack.default = Reply(400, "no account 0123456789 of amy@example.com, password=hunter2")
    post_alerts(alert(1))
    drain("slack")
    stored = Attempt.objects.get().response
    assert stored == "no account [redacted] of [redacted], password=[redacted]"
