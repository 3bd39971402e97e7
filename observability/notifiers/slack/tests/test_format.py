from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observability.notifiers.base import AlertFacts, Kind, Message
from observability.notifiers.slack.dates import duration
from observability.notifiers.slack.format import payload_for
from observability.notifiers.slack.tests.rules import check, texts_in
from observability.notifiers.tests.facts import END, alert, hostile_alerts, hostile_text, message

SINCE = "<!date^1740830400^{date_short_pretty} {time_secs}|2025-03-01 12:00:00 UTC>"
GRAVE, STAR = "\N{MODIFIER LETTER GRAVE ACCENT}", "\N{ASTERISK OPERATOR}"
UNTIL = "<!date^1740830707^{date_short_pretty} {time_secs}|2025-03-01 12:05:07 UTC>"


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def header_of(payload: dict[str, Any]) -> str:
    return str(payload["blocks"][0]["text"]["text"])


def said_in(payload: dict[str, Any]) -> str:
    return "\n".join(text["text"] for text in texts_in(payload["blocks"]))


def test_firing_alert_is_said_whole() -> None:
    assert payload_for(message()) == {
        "text": "🔴 CRITICAL: HighErrorRate on production: 7.2 % of requests fail",
        "blocks": [
            {"type": "header", "text": plain("🔴 CRITICAL: HighErrorRate")},
            {"type": "context", "elements": [plain("Environment: production"), mrkdwn(f"Since {SINCE}")]},
            {"type": "section", "text": plain("7.2 % of requests fail")},
            {"type": "section", "text": plain("More than 5 % of all requests in 5 min answered 5xx.")},
            {"type": "section", "fields": [mrkdwn("*instance*\n`web-1:8000`"), mrkdwn("*job*\n`amani`")]},
            {
                "type": "section",
                "text": mrkdwn(
                    "<https://runbooks.example/HighErrorRate|Runbook>  ·  "
                    "<https://amani.example/admin/alerts/1|Amani>  ·  "
                    "<https://prometheus.example/graph?g0.expr=a&amp;g0.tab=1|Prometheus>"
                ),
            },
        ],
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_resolved_alert_says_from_when_to_when_and_how_long() -> None:
    payload = payload_for(message(Kind.RESOLVE, alert(status="resolved", ends_at=END)))

    assert header_of(payload) == "✅ RESOLVED (critical): HighErrorRate"
    assert payload["blocks"][1]["elements"] == [
        plain("Environment: production"),
        mrkdwn(f"From {SINCE} to {UNTIL}"),
        plain("Lasted 5 min 7 s"),
    ]


def test_resolve_without_a_notification_before_says_so() -> None:
    payload = payload_for(
        message(Kind.RESOLVE, alert(status="resolved", ends_at=END), resolved_before_notified=True)
    )

    assert plain("It was resolved before a notification was sent") in payload["blocks"][1]["elements"]


def test_acknowledgement_says_by_whom() -> None:
    payload = payload_for(message(Kind.ACKNOWLEDGE, alert(acknowledged_by="jane_doe@example.com")))

    assert header_of(payload) == "👀 ACKNOWLEDGED (critical): HighErrorRate"
    assert plain("Acknowledged by jane_doe@example.com") in payload["blocks"][1]["elements"]


def test_test_alert_is_marked_first_of_all() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(is_test=True)))

    assert header_of(payload) == "🧪 TEST, 🔴 CRITICAL: HighErrorRate"
    assert payload["text"].startswith("🧪 TEST, 🔴 CRITICAL: HighErrorRate on production")
    assert plain("This is a test: nothing is broken") in payload["blocks"][1]["elements"]


UNKNOWN = {"severity": "error", "severity_is_unknown": True}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.TRIGGER, "🟠 ERROR (severity unknown): HighErrorRate"),
        (Kind.RESOLVE, "✅ RESOLVED (error, severity unknown): HighErrorRate"),
        (Kind.ACKNOWLEDGE, "👀 ACKNOWLEDGED (error, severity unknown): HighErrorRate"),
    ],
)
def test_unknown_severity_is_marked_and_quoted(kind: Kind, said: str) -> None:
    labels = {"alertname": "HighErrorRate", "severity": "block\ner"}
    payload = payload_for(message(kind, alert(**UNKNOWN, labels=labels)))

    assert header_of(payload) == said
    assert plain("Severity unknown, handled as error: block er") in payload["blocks"][1]["elements"]
    assert payload["text"].startswith(f"{said} on production")


def test_an_escalation_says_so_in_its_first_line() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(unacknowledged_minutes=15)))
    assert header_of(payload) == "🔴 CRITICAL (not acknowledged for 15 min): HighErrorRate"
    assert payload["text"].startswith(f"{header_of(payload)} on production")
    resolved = alert(unacknowledged_minutes=15, status="resolved", ends_at=END)
    assert header_of(payload_for(message(Kind.RESOLVE, resolved))) == "✅ RESOLVED (critical): HighErrorRate"


def test_unknown_severity_of_any_length_does_not_push_the_rest_out() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(**UNKNOWN, labels={"severity": "<" * 5000})))

    check(payload)
    assert header_of(payload) == "🟠 ERROR (severity unknown): HighErrorRate"
    [text] = [
        element["text"]
        for element in payload["blocks"][1]["elements"]
        if "Severity unknown" in element["text"]
    ]
    assert text.startswith("Severity unknown, handled as error: &lt;")
    assert len(text) <= 100


@pytest.mark.parametrize(
    ("severity", "said"),
    [
        ("critical", "🔴 CRITICAL"),
        ("error", "🟠 ERROR"),
        ("warning", "🟡 WARNING"),
        ("info", "🔵 INFO"),
        ("<!channel>", "🟠 ERROR"),
    ],
)
def test_severity_is_an_emoji_and_a_word(severity: str, said: str) -> None:
    assert header_of(payload_for(message(Kind.TRIGGER, alert(severity=severity)))) == f"{said}: HighErrorRate"


def test_mentions_in_any_text_become_harmless_words() -> None:
    ping = "<!channel> <@U1> <!subteam^S1>"
    payload = payload_for(
        message(Kind.TRIGGER, alert(summary=ping, description=ping, labels={"instance": ping}))
    )

    harmless = "&lt;!channel&gt; &lt;@U1&gt; &lt;!subteam^S1&gt;"
    assert payload["text"] == f"🔴 CRITICAL: HighErrorRate on production: {harmless}"
    assert [block["text"]["text"] for block in payload["blocks"][2:4]] == [harmless, harmless]
    assert payload["blocks"][4]["fields"] == [mrkdwn(f"*instance*\n`{harmless}`")]


def test_label_can_not_end_its_code_span() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(labels={"instance": "a` *b* `c\n```"})))

    assert payload["blocks"][4]["fields"] == [
        mrkdwn(f"*instance*\n`a{GRAVE} {STAR}b{STAR} {GRAVE}c {GRAVE * 3}`")
    ]


def test_odd_label_name_is_code_not_bold() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(labels={"*a* _b_": "c", "__name__": "up"})))

    assert payload["blocks"][4]["fields"] == [mrkdwn(f"`{STAR}a{STAR} _b_`\n`c`"), mrkdwn("`__name__`\n`up`")]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://files.example/",
        "//evil.example/",
        "https://bank.example@evil.example/",
        "https://evil.example/\n|x",
        "https://\N{CYRILLIC SMALL LETTER A}mani.example/",
        "https://evil.example:port/",
        "https://[broken/",
        "https://ok.example/" + "q" * 3000,
        "",
    ],
)
def test_address_that_should_not_be_a_link_is_left_out(url: str) -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(runbook_url=url, console_url=url, generator_url=url)))

    assert "|Runbook>" not in said_in(payload)
    assert "|Amani>" not in said_in(payload)
    assert [block["type"] for block in payload["blocks"]] == [
        "header",
        "context",
        "section",
        "section",
        "section",
    ]


def test_address_can_not_change_the_words_of_its_link() -> None:
    url = "https://ok.example/a|Click here>b<!channel>?x=1&y=\N{SNOWMAN}"
    payload = payload_for(message(Kind.TRIGGER, alert(runbook_url=url, console_url="", generator_url="")))

    said = "<https://ok.example/a%7CClick%20here%3Eb%3C!channel%3E?x=1&amp;y=%E2%98%83|Runbook>"
    assert payload["blocks"][-1]["text"] == mrkdwn(said)


def test_eleventh_label_is_counted_not_shown() -> None:
    labels = {f"label_{number:02d}": str(number) for number in range(25)} | {"instance": "web-1"}
    fields = payload_for(message(Kind.TRIGGER, alert(labels=labels)))["blocks"][4]["fields"]

    assert len(fields) == 10
    assert fields[0] == mrkdwn("*instance*\n`web-1`")
    assert fields[9] == mrkdwn("and 17 more labels, in Amani")


def test_long_description_says_how_much_was_cut() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(description="x" * 10_000)))
    description = payload["blocks"][3]["text"]["text"]

    kept = description.index("…")
    assert description == "x" * kept + f"… ({10_000 - kept} more characters)"
    assert 2850 <= len(description) <= 2900


def test_text_of_ampersands_is_cut_between_entities() -> None:
    payload = payload_for(message(Kind.TRIGGER, alert(summary="&" * 100_000)))
    summary = payload["blocks"][2]["text"]["text"]

    kept = summary.count("&amp;")
    assert summary == "&amp;" * kept + f"… ({100_000 - kept} more characters)"
    assert 970 <= len(summary) <= 1000


def test_alert_without_texts_still_has_a_message() -> None:
    empty = {"summary": "", "description": "", "labels": {}, "annotations": {}}
    payload = payload_for(
        message(Kind.TRIGGER, alert(**empty, runbook_url="", console_url="", generator_url=""))
    )

    assert [block["type"] for block in payload["blocks"]] == ["header", "context"]
    assert payload["text"] == "🔴 CRITICAL: HighErrorRate on production"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (7, "7 s"),
        (307, "5 min 7 s"),
        (3600, "1 h 0 min"),
        (90_061, "1 d 1 h"),
        (8_640_000, "100 d 0 h"),
    ],
)
def test_duration_is_two_units(seconds: int, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.DIGEST]),
    facts=hostile_alerts,
    environment=hostile_text,
    resolved_before_notified=st.booleans(),
)
def test_no_alert_breaks_slacks_limits_or_formatting(
    kind: Kind, facts: AlertFacts, environment: str, resolved_before_notified: bool
) -> None:
    check(
        payload_for(Message(kind, (facts,), environment, resolved_before_notified=resolved_before_notified))
    )
