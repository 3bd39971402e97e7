"""The lists and pages of rules, versions, routes and silences take few statements that read few rows, also
with 30,000 rows of each kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import reverse

from core.tests.plans import rows_read, statements_of
from observability.models import AlertRule, Episode, Route, RulePreview, RulesVersion, Silence, SilenceWindow
from observability.tests.rule_changes import own, shipped

pytestmark = pytest.mark.django_db

ROWS = 30_000
MOST_READ = 25_000  # rows, by one statement; counting stops at 10,000
# The rows `first` to `last` of each kind. Most alerts have the name of two rules, of which one caused them;
# one silence hid them all; one rule, one route and one recurring silence have all changes and occurrences.
INSERT = """
INSERT INTO observability_episode (fingerprint, starts_at, is_latest, status, severity, alertname, summary,
    labels, annotations, generator_url, source, dedup_key, first_seen_at, ends_at, resolved_at, confirmed_at,
    silenced_at, unsilenced_at, round)
SELECT n, now() - n * interval '1 minute', true, 'resolved', 'critical',
    CASE WHEN n %% 4 < 3 THEN 'HighErrorRate' ELSE 'Other' || n %% 10 END, '',
    '{"alertname": "HighErrorRate", "severity": "critical"}', '{}', '', 'alertmanager', n, now(), now(),
    now(), now(), CASE WHEN n %% 100 = 1 THEN now() END, CASE WHEN n %% 1000 <> 1 THEN now() END, 0
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_silencewindow (matchers, reason, owner_id, time_zone, weekdays, begins, ends,
    first_on, last_on, created_at, ended_reason)
SELECT '[]', 'Backups.', %(user)s, 'UTC', '[0]', '01:00', '02:00', '2026-01-01', '2026-01-02', now(), ''
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_silence (state, created_at, attempt_count, last_error, key, matchers, reason,
    owner_id, created_by, starts_at, ends_at, alertmanager_id, wanted_at, window_id, occurrence_on)
SELECT CASE n %% 1000 WHEN 1 THEN 'active' WHEN 2 THEN 'failed' ELSE 'expired' END, now(), 1, '',
    gen_random_uuid(), '[]', 'Backups.', %(user)s, 'ada', now() - interval '1 hour',
    now() + interval '1 hour', n, now(),
    (SELECT min(id) FROM observability_silencewindow), date '2020-01-01' + n
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_silenceevent (silence_id, at, kind, text, request_id)
SELECT id, now(), 'created', '', '' FROM observability_silence
WHERE alertmanager_id::int BETWEEN %(first)s AND %(last)s;
INSERT INTO observability_suppression (silence_id, episode_id, began_at, ended_at)
SELECT (SELECT min(id) FROM observability_silence), id, now(), unsilenced_at FROM observability_episode
WHERE dedup_key::int BETWEEN %(first)s AND %(last)s;
INSERT INTO observability_rulechange (rule_id, version, kind, at, reason, request_id, base, expression,
    severity, runbook_url)
SELECT %(rule)s, n, 'tuned', now(), 'Too many pages.', '', %(base)s, '', 'critical', ''
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_rulepreview (state, created_at, finished_at, attempt_count, last_error, rule_id,
    asked_by_id, days, for_seconds, keep_firing_for_seconds, percent, result)
SELECT 'done', now(), now(), 1, '', %(rule)s, %(user)s, 7, 0, 0, 100, '{"suggestion": {"threshold": null}}'
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_rulesversion (created_at, attempt_count, last_error, number, state, author_text,
    reason, files, digest, changes, rule_count, refused_file, published_at)
SELECT now(), 1, '', n, CASE n WHEN 1 THEN 'published' ELSE 'superseded' END, 'a release', 'New rules.',
    '{"amani.yml": "groups: []"}', n, '{}', 0, '', now()
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_route (name, position, is_on, severities, weekdays, time_zone, notifies, channels,
    removed_at)
SELECT n, n, true, '{}', '{}', 'UTC', true, '{slack}', CASE WHEN n %% 2000 > 2 THEN now() END
FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO observability_routechange (route_id, at, actor_id, reason, before, after)
SELECT (SELECT min(id) FROM observability_route), now(), %(user)s, 'New hours.', '', 'all'
FROM generate_series(%(first)s, %(last)s) n;
"""
ANALYZE = """ANALYZE observability_episode, observability_silencewindow, observability_silence,
    observability_silenceevent, observability_suppression, observability_rulechange,
    observability_rulepreview, observability_rulesversion, observability_route, observability_routechange"""


def fill(first: int, last: int) -> None:
    rule = shipped()
    values: dict[str, Any] = {
        "first": first,
        "last": last,
        "rule": rule.pk,
        "user": get_user_model().objects.get().pk,
        "base": json.dumps(rule.base),
    }
    with connection.cursor() as cursor:
        cursor.execute(INSERT, values)
        cursor.execute(ANALYZE)


def list_of(model: str, query: str = "") -> str:
    return reverse(f"admin:observability_{model}_changelist") + query


def page_of(model: str, pk: int, page: str = "change") -> str:
    return reverse(f"admin:observability_{model}_{page}", args=[pk])


def addresses() -> list[str]:
    rule, quiet = shipped(), own(labels={"scope": "other"})
    AlertRule.objects.filter(pk=quiet.pk).update(name=rule.name)
    version = RulesVersion.objects.get(number=2).pk
    return [
        *(list_of("alertrule", query) for query in ("", "?which=tuned", "?quality=fired", "?q=rate")),
        *(page_of("alertrule", pk) for pk in (rule.pk, quiet.pk)),
        *(page_of("alertrule", rule.pk, page) for page in ("tune", "preview_form")),
        *(list_of("rulesversion", query) for query in ("", "?state__exact=superseded")),
        reverse("admin:observability_rulesversion_publish"),
        *(page_of("rulesversion", version, page) for page in ("change", "revert", "file")),
        *(list_of("route"), page_of("route", Route.objects.earliest("id").pk)),
        *(
            list_of("silence", query)
            for query in ("", "?o=5", "?state__exact=failed", "?state__exact=active")
        ),
        *(page_of("silence", Silence.objects.earliest("id").pk), list_of("silencewindow")),
        page_of("silencewindow", SilenceWindow.objects.earliest("id").pk),
        *(list_of("episode", f"?silenced={when}") for when in ("now", "once")),
        list_of("episode", "?status__exact=silenced"),
        *(page_of("episode", Episode.objects.earliest("id").pk, page) for page in ("change", "rule")),
    ]


def test_lists_and_pages_read_few_rows_with_as_many_statements_as_for_two(admin_client: Client) -> None:
    fill(1, 2)
    opened = addresses()
    statements_of(admin_client, opened[0])
    few = {address: len(statements_of(admin_client, address)) for address in opened}
    fill(3, ROWS)
    assert RulePreview.objects.count() == ROWS
    counts = {}
    for address in opened:
        statements = statements_of(admin_client, address)
        counts[address] = len(statements)
        for statement in statements:
            read, plan = rows_read(statement)
            assert read <= MOST_READ, (read, address, statement, plan)
    assert counts == few
