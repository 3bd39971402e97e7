"""The lists answer the on-call question, and stay cheap however long the history is."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from core.console import paging
from core.console.history import HistoryAdmin
from observability.admin import episode_filters
from observability.models import Episode
from observability.tests import history

pytestmark = pytest.mark.django_db

ALERTS = "/admin/observability/episode/"


@pytest.fixture
def viewer(sign_in: Callable[..., Client]) -> Client:
    return sign_in("viewer")


def rows(client: Client, query: str = "", url: str = ALERTS) -> list[Any]:
    response = client.get(f"{url}?{query}")
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def text_of(client: Client, url: str = ALERTS) -> str:
    """The page's words, without markup."""
    html = client.get(url).content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", html[html.index('id="result_list"') :]).split())


def test_firing_alerts_come_first_then_the_newest(viewer: Client) -> None:
    newest = history.episode(1, status="resolved")
    firing = history.episode(30)
    older = history.episode(20, status="resolved")
    oldest_firing = history.episode(90)
    assert rows(viewer) == [firing, oldest_firing, newest, older]


def test_firing_first_holds_across_pages(monkeypatch: pytest.MonkeyPatch, viewer: Client) -> None:
    monkeypatch.setattr(HistoryAdmin, "list_per_page", 2)
    firing = [history.episode(number) for number in (50, 60, 70)]
    resolved = [history.episode(number, status="resolved") for number in (10, 20)]
    pages = [rows(viewer, f"p={page}") for page in (1, 2, 3)]
    assert pages == [firing[:2], [firing[2], resolved[0]], [resolved[1]]]


def test_operator_may_sort_otherwise(viewer: Client) -> None:
    firing = history.episode(30)
    resolved = history.episode(1, status="resolved")
    assert rows(viewer, "o=-3") == [resolved, firing]


def test_row_says_since_when_who_has_it_and_why_it_is_not_delivered(
    viewer: Client, django_user_model: Any
) -> None:
    ada = django_user_model.objects.create_user("ada@example.com", full_name="Ada Abara")
    mine = history.episode(72, acknowledged_by=ada, acknowledged_at=timezone.now() - timedelta(minutes=5))
    history.delivery(mine, "slack")
    history.delivery(mine, "pagerduty", "failed", reason="Invalid routing key")
    text = text_of(viewer)
    assert "Firing critical HighErrorRate Errors on web-72 1 h 12 min since" in text
    assert "Ada Abara 5 min ago" in text
    assert "Slack delivered at" in text
    assert "PagerDuty failed Invalid routing key" in text


def test_row_says_when_the_next_attempt_is(viewer: Client) -> None:
    soon = timezone.now() + timedelta(seconds=50)
    history.delivery(history.episode(), state="pending", next_attempt_at=soon, reason="503 from Slack")
    assert re.search(r"Slack waiting attempt 2 in ([1-4][0-9]|50) s: 503 from Slack", text_of(viewer))


def test_resend_replaces_the_first_delivery_in_the_list(viewer: Client) -> None:
    shown = history.episode()
    failed = history.delivery(shown, state="failed", reason="no_service")
    history.delivery(shown, resend_of=failed)
    text = text_of(viewer)
    assert "no_service" not in text
    assert "Slack delivered" in text


def test_undelivered_resolve_is_listed_as_well(viewer: Client) -> None:
    shown = history.episode(status="resolved")
    history.delivery(shown)
    history.delivery(shown, state="dead", kind="resolve", reason="Given up: 503")
    assert "Slack (resolved) given up Given up: 503" in text_of(viewer)


def test_hostile_labels_are_text(viewer: Client) -> None:
    attack = "<script>alert(1)</script>"
    mad = history.episode(
        alertname=attack, summary=attack, labels={attack: attack}, annotations={attack: attack}
    )
    history.delivery(mad, state="failed", reason=attack)
    for url in (ALERTS, f"{ALERTS}{mad.pk}/change/", "/admin/", "/admin/observability/delivery/"):
        assert attack not in viewer.get(url).content.decode(), url


def test_address_that_is_no_web_address_becomes_no_link(viewer: Client) -> None:
    shown = history.episode(
        generator_url="javascript:alert(1)",
        annotations={"runbook_url": "javascript:alert(2)", "dashboard": "https://grafana.example/d/1"},
    )
    html = viewer.get(f"{ALERTS}{shown.pk}/change/").content.decode()
    assert 'href="javascript' not in html
    assert 'href="https://grafana.example/d/1"' in html


def test_alert_links_to_where_to_look_next(viewer: Client, settings: Any) -> None:
    settings.PAGERDUTY_API_KEY, settings.PAGERDUTY_SERVICE_ID = "R" * 32, "PABC123"
    settings.ALERTMANAGER_URL = ""  # otherwise Amani's own form silences
    settings.ALERTMANAGER_PUBLIC_URL = "https://alertmanager.example"
    shown = history.episode(
        generator_url="https://prometheus.example/graph?g0.expr=up",
        annotations={"runbook_url": "https://amani.example/runbooks/HighErrorRate/"},
        labels={"alertname": "HighErrorRate", "path": 'C:\\"x"'},
    )
    links = viewer.get(f"{ALERTS}{shown.pk}/change/").context["links"]
    silence = "%7Balertname%3D%22HighErrorRate%22%2Cpath%3D%22C%3A%5C%5C%5C%22x%5C%22%22%7D"
    assert [(words, url) for _icon, words, url in links] == [
        ("Runbook", "https://amani.example/runbooks/HighErrorRate/"),
        ("Graph in Prometheus", "https://prometheus.example/graph?g0.expr=up"),
        (
            "Alertmanager",
            "https://alertmanager.example/#/alerts?filter=%7Balertname%3D%22HighErrorRate%22%7D",
        ),
        ("Silence", f"https://alertmanager.example/#/silences/new?filter={silence}"),
        ("Service in PagerDuty", "https://app.pagerduty.com/service-directory/PABC123"),
    ]


def test_names_that_alertmanager_wants_quoted_are_quoted_and_others_are_not(
    viewer: Client, settings: Any
) -> None:
    settings.ALERTMANAGER_URL = ""  # otherwise Amani's own form silences
    labels = {"alertname": "A", "service.name": "pay\nments", 'q"x': "1"}
    response = viewer.get(f"{ALERTS}{history.episode(labels=labels).pk}/change/")
    links = {words: url for _icon, words, url in response.context["links"]}
    assert (
        unquote(links["Alertmanager"])
        == f'{settings.ALERTMANAGER_PUBLIC_URL}/#/alerts?filter={{alertname="A"}}'
    )
    assert unquote(links["Silence"]) == (
        f"{settings.ALERTMANAGER_PUBLIC_URL}/#/silences/new?filter="
        '{alertname="A","q\\"x"="1","service.name"="pay\\nments"}'
    )
    assert response.context["silence_command"] == (
        f"amtool --alertmanager.url={settings.ALERTMANAGER_PUBLIC_URL} silence add 'alertname=\"A\"' "
        """'"q\\"x"="1"' '"service.name"="pay\\nments"' --duration=2h --author="$USER" --comment="why\""""
    )
    assert "Silence it by a command" in response.content.decode()


def test_alert_with_classic_names_needs_no_command_to_be_silenced(viewer: Client) -> None:
    response = viewer.get(f"{ALERTS}{history.episode().pk}/change/")
    assert response.context["silence_command"] == ""
    assert "Silence it by a command" not in response.content.decode()


def test_alert_without_a_name_leads_to_alertmanager_by_all_its_labels(viewer: Client) -> None:
    labels = {"job": "amani", "instance": "a"}
    shown = history.episode(labels=labels, alertname="(no alertname)")
    links = {words: url for _icon, words, url in viewer.get(f"{ALERTS}{shown.pk}/change/").context["links"]}
    assert unquote(links["Alertmanager"]).endswith('filter={instance="a",job="amani"}')


NOT_ROUTED: dict[str, Any] = {"severity": "info", "not_notified": "severity_not_routed"}


@pytest.mark.parametrize(
    ("changes", "in_list", "on_page"),
    [
        (
            NOT_ROUTED,
            "Not notified: info has no channel",
            "No notification was sent: ALERT_ROUTES had no channel for info alerts when it was stored.",
        ),
        (
            {"not_notified": "sender_notifies"},
            "Notified by Alertmanager itself",
            "Amani sent no notification: the label notified_by=&quot;alertmanager&quot; says that ",
        ),
        (
            {"not_notified": "no_channel"},
            "Not notified: no channel is configured",
            "No notification was sent: no channel was set up for it.",
        ),
        (
            {},
            "History only",
            "No notification was sent: its severity had no channel, or Alertmanager notifies itself.",
        ),
    ],
)
def test_list_start_page_and_page_say_why_no_notification_was_sent(
    viewer: Client, changes: dict[str, Any], in_list: str, on_page: str
) -> None:
    silent = history.episode(**changes)
    assert in_list in text_of(viewer)
    assert in_list in viewer.get("/admin/").content.decode()
    assert on_page in viewer.get(f"{ALERTS}{silent.pk}/change/").content.decode()


def test_page_says_when_every_channel_was_off_and_nothing_when_one_was_not(viewer: Client) -> None:
    off, shown = history.episode(1), history.episode(2)
    for episode in (off, shown):
        history.delivery(episode, "pagerduty", "off", reason="PagerDuty is off.")
    history.delivery(off, "slack", "off", reason="Slack is off.")
    history.delivery(shown, "slack")
    sentence = "No notification was sent: every channel of its severity was off."
    assert sentence in viewer.get(f"{ALERTS}{off.pk}/change/").content.decode()
    assert "No notification was sent" not in viewer.get(f"{ALERTS}{shown.pk}/change/").content.decode()


def test_firing_alerts_without_a_notification_can_be_filtered(viewer: Client) -> None:
    silent = history.episode(1, **NOT_ROUTED)
    history.episode(2, status="resolved", **NOT_ROUTED)
    history.episode(3)
    assert rows(viewer, "told=nobody") == [silent]


def test_unknown_severity_has_a_badge_on_list_and_page_and_can_be_filtered(viewer: Client) -> None:
    ordinary = history.episode(1)
    odd = history.episode(
        2, severity="error", severity_is_unknown=True, labels={"alertname": "A", "severity": "<blocker>"}
    )
    assert text_of(viewer).count("Severity unknown") == 1
    assert rows(viewer, "severity_label=unknown") == [odd]
    html = viewer.get(f"{ALERTS}{odd.pk}/change/").content.decode()
    assert "Severity unknown: &lt;blocker&gt;" in html
    assert "handled as an error" in html
    assert "ALERT_SEVERITY_MAP" in html
    assert "Severity unknown" not in viewer.get(f"{ALERTS}{ordinary.pk}/change/").content.decode()


def test_page_shows_text_and_runbook_of_whichever_annotations_have_them(viewer: Client) -> None:
    annotations = {
        "title": "Too slow",
        "message": "p95 is 3 s",
        "runbook": "https://wiki.example/slow",
        "owner": "payments",
    }
    shown = history.episode(annotations=annotations, summary="Too slow")
    context = viewer.get(f"{ALERTS}{shown.pk}/change/").context
    assert context["description"] == "p95 is 3 s"
    assert ("Runbook", "https://wiki.example/slow") in [
        (words, url) for _icon, words, url in context["links"]
    ]
    assert context["annotations"] == [("owner", "payments", "")]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("High", [1, 2]),
        ("high", [1, 2]),
        ("Disk", [3]),
        ("igh", []),
        ("instance=web-2", [2]),
        ('instance="web-2"', [2]),
        ("instance=web", []),
        (f"{3:016x}", [3]),
        ("100%", []),
        ("service.name=payments", [4]),
        ('"service.name"="payments"', [4]),
        ('service.name = "payments"', [4]),
        ("service.name=pay", []),
        ('"odd \\"name\\" = x"="a\\\\b"', [4]),
        ("größe=XL", [4]),
        ("größe=", []),
        ("empty=", [4]),
        ('"unbalanced=1', []),
        ("=", []),
    ],
)
def test_search_knows_beginnings_labels_and_fingerprints(viewer: Client, term: str, found: list[int]) -> None:
    history.episode(1)
    history.episode(2)
    history.episode(3, alertname="DiskSpaceLow")
    history.episode(
        4,
        alertname="Other",
        labels={"service.name": "payments", 'odd "name" = x': "a\\b", "größe": "XL", "empty": ""},
    )
    fingerprints = [f"{number:016x}" for number in found]
    response = viewer.get(ALERTS, {"q": term})
    assert [row.fingerprint for row in response.context["cl"].result_list] == fingerprints


def test_label_search_stops_at_the_newest_alerts_unless_a_period_is_chosen(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_filters, "LABELS_SEARCHED", 1)
    history.episode(1)
    history.episode(2)
    old = history.episode(3)
    assert rows(viewer, "q=instance=web-3") == []
    assert rows(viewer, f"q=instance=web-3&starts_at__year={old.starts_at.year}") == [old]


def test_filters_find_alerts_that_are_not_acknowledged_and_not_delivered(viewer: Client) -> None:
    ada = viewer.get(ALERTS).wsgi_request.user
    mine = history.episode(1, acknowledged_by=ada, acknowledged_at=timezone.now())
    orphan = history.episode(2)
    done = history.episode(3, status="resolved", severity="warning", source="pipeline")
    history.delivery(mine, state="pending")
    history.delivery(orphan, state="dead")
    digest = history.delivery(orphan, "pagerduty")
    history.delivery(done, state="digested", digest=digest)
    assert rows(viewer, "owner=nobody") == [orphan]
    assert rows(viewer, "owner=me") == [mine]
    assert rows(viewer, "owner=somebody") == [mine]
    assert rows(viewer, "told=waiting") == [mine, done]
    assert rows(viewer, "told=failed") == [orphan]
    assert rows(viewer, "status__exact=firing&severity__exact=critical") == [mine, orphan]
    assert rows(viewer, "source__exact=pipeline") == [done]


def test_deliveries_are_found_by_what_needs_attention(viewer: Client) -> None:
    shown = history.episode()
    failed = history.delivery(shown, "pagerduty", "failed")
    waiting = history.delivery(shown, state="pending")
    url = reverse("admin:observability_delivery_changelist")
    assert rows(viewer, "attention=failed", url) == [failed]
    assert rows(viewer, "attention=waiting", url) == [waiting]
    assert rows(viewer, "channel=pagerduty", url) == [failed]
    assert rows(viewer, "", url) == [waiting, failed]


def test_receipts_that_need_attention_come_first(viewer: Client) -> None:
    long_ago = timezone.now() - timedelta(days=30)
    old_failure = history.receipt("failed", b"{", received_at=long_ago)
    failed = history.receipt("failed", b"{")
    stored = history.receipt()
    url = reverse("admin:observability_receipt_changelist")
    assert rows(viewer, "", url) == [failed, stored, old_failure]
    assert rows(viewer, "attention=yes", url) == [failed, old_failure]


def test_no_list_reads_all_rows(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are bounded, pages have a LIMIT, and the date hierarchy truncates no column."""
    monkeypatch.setattr(HistoryAdmin, "list_per_page", 1)
    for number in (1, 2):
        history.delivery(history.episode(number))
        history.receipt()
    with CaptureQueriesContext(connection) as captured:
        for model in ("episode", "delivery", "receipt"):
            viewer.get(f"/admin/observability/{model}/")
    queries = [
        query["sql"]
        for query in captured
        if re.search(r'FROM \(?(SELECT|"observability_(ep|de|re))', query["sql"])
    ]
    assert len(queries) >= 9
    for query in queries:
        is_bounded = "LIMIT" in query or "MIN(" in query or '"episode_id" IN (' in query
        assert is_bounded, query
        assert "DATE_TRUNC" not in query


def test_receipts_are_listed_without_their_bodies(viewer: Client) -> None:
    history.receipt()
    with CaptureQueriesContext(connection) as captured:
        viewer.get(reverse("admin:observability_receipt_changelist"))
    assert not [query for query in captured if '"body"' in query["sql"]]


def test_long_list_says_how_much_it_counted(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNT_AT_MOST", 2)
    for number in (1, 2, 3):
        history.episode(number)
    assert "2+ alerts" in " ".join(viewer.get(ALERTS).content.decode().split())


def test_date_hierarchy_leads_from_year_to_day(viewer: Client) -> None:
    first = history.episode(starts_at=datetime(2025, 11, 30, 23, tzinfo=UTC))
    last = history.episode(2, starts_at=datetime(2026, 2, 1, 1, tzinfo=UTC))
    assert "?starts_at__year=2025" in viewer.get(ALERTS).content.decode()
    in_2026 = viewer.get(f"{ALERTS}?starts_at__year=2026").content.decode()
    assert "starts_at__month=2" in in_2026
    day = "starts_at__year=2025&starts_at__month=11&starts_at__day=30"
    assert rows(viewer, day) == [first]
    assert rows(viewer, "starts_at__year=2026") == [last]


def test_date_hierarchy_asks_the_index_only_and_not_the_filters(viewer: Client) -> None:
    for days in (1, 400):
        history.episode(days, starts_at=timezone.now() - timedelta(days=days))
    with CaptureQueriesContext(connection) as captured:
        html = viewer.get(f"{ALERTS}?status__exact=resolved&q=pod=x").content.decode()
    assert "starts_at__year=" in html
    bounds = [query["sql"] for query in captured if "MIN(" in query["sql"]]
    assert bounds
    assert not [query for query in bounds if "WHERE" in query]


@pytest.mark.parametrize(
    "query", ["starts_at__year=x", "starts_at__year=2026&starts_at__month=13", "p=0", "e=1"]
)
def test_odd_addresses_lead_back_to_the_list(viewer: Client, query: str) -> None:
    assert viewer.get(f"{ALERTS}?{query}").status_code in (200, 302)


def test_periods_cross_the_ends_of_months_and_years() -> None:
    first, last = datetime(2025, 11, 30, 23, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    assert paging.periods(first, last, "year") == [
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    assert paging.periods(first, last, "month") == [
        datetime(2025, 11, 1, tzinfo=UTC),
        datetime(2025, 12, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    assert len(paging.periods(first, last, "day")) == 33
    assert paging.periods(first, last, "day")[1] == datetime(2025, 12, 1, tzinfo=UTC)


def test_empty_history_has_a_page(viewer: Client) -> None:
    assert rows(viewer) == []
    assert Episode.objects.count() == 0
