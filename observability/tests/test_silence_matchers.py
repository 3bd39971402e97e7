"""Matchers of silences: how they are read, which are refused, and what they match in the history."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from observability.models import Episode
from observability.silences.limits import TooExpensive, limited_statement
from observability.silences.matchers import BadMatchers, Matcher, as_text, read
from observability.silences.preview import hidden_last_week, matching
from observability.tests import history

pytestmark = pytest.mark.django_db


def test_matchers_are_read_one_a_line_and_written_back() -> None:
    text = 'alertname="DiskFull"\ninstance=~"db-.*"\nstage!=test,\n\n job !~ "a|b"\nquote="a \\"b\\" \\\\ c"'
    found = read(text)
    assert found == [
        Matcher("alertname", "=", "DiskFull"),
        Matcher("instance", "=~", "db-.*"),
        Matcher("stage", "!=", "test"),
        Matcher("job", "!~", "a|b"),
        Matcher("quote", "=", 'a "b" \\ c'),
    ]
    assert read(as_text(found)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least one"),
        ("DiskFull", "is no matcher"),
        ('alertname="a" or b="c"', "is no matcher"),
        ('alertname=""', "all alerts"),
        ('alertname!="a"', "all alerts"),
        ('alertname=~"a*"', "all alerts"),
        ('a=~"(b"', "no regular expression"),
        ('a=~"b**"', "cannot be used"),
        ('a=~"*b"', "cannot be used"),
        ('a=~"b{999}"', "cannot be used"),
        ('a=~"(?i)b"', "cannot be used"),
        ('a=~"\\\\d+"', "cannot be used"),
        ('a=~"[[:alpha:]]"', "cannot be used"),
        (f'a="{"x" * 1001}"', "at most 1000"),
        ("\n".join(f'a{n}="b"' for n in range(51)), "at most 50"),
    ],
)
def test_what_alertmanager_or_the_history_cannot_evaluate_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadMatchers, match=why):
        read(text)


@pytest.mark.parametrize("pattern", ["db-[0-9]+", "a|b.c", "(?:a|b){2,5}", "x\\.y", "[^a-c]?z", "^web-.*$"])
def test_an_ordinary_regular_expression_is_taken(pattern: str) -> None:
    assert read(f'a=~"{pattern}"'.replace("\\", "\\\\")) == [Matcher("a", "=~", pattern)]


def names(*matchers: str) -> list[str]:
    found = matching(Episode.objects.all(), read("\n".join(matchers)))
    return [episode.labels["instance"] for episode in found.order_by("id")]


def test_the_history_is_matched_by_alertmanagers_rules() -> None:
    for number, labels in enumerate(({"job": "api"}, {"job": "worker"}, {})):
        name = f"web-{number}"
        history.episode(number + 1, labels={"alertname": "HighErrorRate", "instance": name, **labels})
    every = 'alertname="HighErrorRate"'
    assert names(every) == ["web-0", "web-1", "web-2"]
    assert names('job="api"') == ["web-0"]
    assert names(every, 'job!="api"') == ["web-1", "web-2"], "A label that is missing counts as empty."
    assert names(every, 'job=""') == ["web-2"]
    assert names('job=~"a.*|worker"') == ["web-0", "web-1"]
    assert names(every, 'job!~"a.*"') == ["web-1", "web-2"]
    assert names('instance=~"eb-."', every) == [], "An expression is anchored at both ends."
    assert names('instance=~"web-."', 'job=~".*"') == ["web-0", "web-1", "web-2"]


def sleep_long() -> None:
    with limited_statement(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")


def test_an_expression_that_takes_too_long_ends_within_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observability.silences.limits.LONGEST_MILLISECONDS", 20)
    with pytest.raises(TooExpensive, match="too long"):
        sleep_long()
    history.episode(1, labels={"alertname": "A", "x": "a" * 8_000})
    found = hidden_last_week([Matcher("x", "=~", "((a{1,250}){1,250}){1,250}b")], timezone.now())
    assert (found.total, bool(found.problem)) == (0, True)
