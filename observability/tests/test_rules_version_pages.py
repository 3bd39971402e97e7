"""The pages of versions of the rules: the list, one version with what differs, publishing, going back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from observability.models import AlertRule, RuleChange, RulesVersion
from observability.rules.effective import effective_groups
from observability.rules.publication import publish
from observability.rules.publication.diff import Line, Part, diff
from observability.rules.publication.reverting import tuned_as_in
from observability.rules.render import render
from observability.tests.rule_changes import change, own, shipped

pytestmark = pytest.mark.django_db

LIST = reverse("admin:observability_rulesversion_changelist")
PUBLISH = reverse("admin:observability_rulesversion_publish")


@pytest.fixture(autouse=True)
def few_rules(settings: Any) -> None:
    """Two rules, because to write all of them takes a while, and a folder that only the worker would use."""
    settings.ALERT_RULES_FOLDER = "/srv/rules"
    AlertRule.objects.exclude(key__in=["HighErrorRate", "HighResponseTime"]).delete()


def published(reason: str = "It is a test.") -> RulesVersion:
    """The rules as they are, as a published version."""
    RulesVersion.objects.filter(state="published").update(state="superseded", finished_at=timezone.now())
    version = publish(author=None, by="a test", reason=reason)
    RulesVersion.objects.filter(pk=version.pk).update(state="published", published_at=timezone.now())
    version.refresh_from_db()
    return version


def page(name: str, version: RulesVersion) -> str:
    return reverse(f"admin:observability_rulesversion_{name}", args=[version.pk])


def hidden(answer: Any) -> dict[str, Any]:
    """What the form sends besides the reason."""
    return {name: answer.context[name] for name in ("seen", "digest")}


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


# --- What differs ---


def test_the_parts_that_differ_stand_under_their_rules() -> None:
    before = {"amani.yml": "# Version 1\n- alert: A\n  a: 1\n  b: 2\n- alert: B\n  c: 3\n"}
    after = {"amani.yml": "# Version 2\n- alert: A\n  a: 1\n  b: 4\n- alert: B\n  c: 3\n"}
    assert diff(before, after) == [
        Part(
            "A",
            [
                Line(" ", "- alert: A"),
                Line(" ", "  a: 1"),
                Line("-", "  b: 2"),
                Line("+", "  b: 4"),
                Line(" ", "- alert: B"),
                Line(" ", "  c: 3"),
            ],
        )
    ]
    assert diff(before, before) == []


def test_lines_that_all_rules_have_are_no_difference() -> None:
    rules = [f"- alert: A{n}\n  expr: {n}\n  labels:\n    severity: error\n  for: {n}m\n" for n in range(100)]
    changed = [*rules]
    changed[50] = changed[50].replace("expr: 50", "expr: 51").replace("50m", "51m")
    [part] = diff({"amani.yml": "".join(rules)}, {"amani.yml": "".join(changed)})
    assert [line for line in part.lines if line.sign != " "] == [
        Line("-", "  expr: 50"),
        Line("+", "  expr: 51"),
        Line("-", "  for: 50m"),
        Line("+", "  for: 51m"),
    ]


def test_a_rule_that_is_gone_is_named() -> None:
    before = {"amani.yml": "- alert: A\n  a: 1\n- alert: B\n  b: 2\n"}
    [part] = diff(before, {"amani.yml": "- alert: A\n  a: 1\n"})
    assert part.about == "B"


# --- The list ---


def test_the_list_says_that_amani_publishes_no_rules_here(
    sign_in: Callable[..., Client], settings: Any
) -> None:
    settings.ALERT_RULES_FOLDER = ""
    client = sign_in("approver")
    assert "Amani publishes no rules here:" in text_of(client.get(LIST))
    answer = client.post(PUBLISH, {"reason": "Why not.", "seen": 0, "digest": ""}, follow=True)
    assert "neither ALERT_RULES_FOLDER nor ALERT_RULES_TOKEN is set" in text_of(answer)
    assert not RulesVersion.objects.exists()


def test_the_list_says_whether_there_is_something_to_publish(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    assert "no version was published yet" in text_of(client.get(LIST))
    published()
    assert "differ from" not in text_of(client.get(LIST))
    change(shipped(), for_seconds=600)
    text = text_of(client.get(LIST))
    assert "The rules differ from version 1." in text
    assert PUBLISH in text
    assert PUBLISH not in text_of(sign_in("viewer").get(LIST))


def test_the_list_takes_as_many_queries_for_many_versions_as_for_one(sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    published()
    client.get(LIST)
    with CaptureQueriesContext(connection) as before:
        client.get(LIST)
    for number in range(1, 6):
        change(shipped(), for_seconds=600 + number)
        published()
    with CaptureQueriesContext(connection) as after:
        client.get(LIST)
    assert len(after) == len(before)
    assert not any('"files"' in query["sql"] for query in after if "LIMIT 21" in query["sql"])


# --- One version ---


def test_a_version_shows_what_it_changed(sign_in: Callable[..., Client]) -> None:
    published()
    change(shipped(), for_seconds=660)
    version = published("Fewer pages.")
    text = text_of(sign_in("viewer").get(page("change", version)))
    assert "Fewer pages." in text
    assert "Differs from version 1" in text
    assert '<h3 class="am-pad am-first">HighErrorRate</h3>' in text
    assert '<li class="am-added">+ for: 11m</li>' in text
    assert "a test" in text


def test_a_refused_version_shows_the_line(sign_in: Callable[..., Client]) -> None:
    version = publish(author=None, by="a test", reason="It is a test.")
    number = version.files["amani.yml"].splitlines().index("  - alert: HighErrorRate") + 1
    RulesVersion.objects.update(
        state="refused",
        last_error="unexpected end",
        refused_file="amani.yml",
        refused_line=number,
        refused_column=12,
    )
    text = text_of(sign_in("viewer").get(page("change", version)))
    assert f"amani.yml, line {number}, column 12" in text
    assert f'<li class="am-removed"> {number} - alert: HighErrorRate</li>' in text
    assert "unexpected end" in text


def test_a_version_that_is_open_says_what_happens_next(sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    version = publish(author=None, by="a test", reason="It is a test.")
    assert "The worker takes it within ten seconds" in text_of(client.get(page("change", version)))
    later = timezone.now() + timedelta(seconds=50)
    RulesVersion.objects.update(state="publishing", next_attempt_at=later, last_error="No answer.")
    text = text_of(client.get(page("change", version)))
    assert "No answer." in text
    assert "The next attempt begins" in text
    RulesVersion.objects.update(lease_until=later)
    assert "The worker is at it" in text_of(client.get(page("change", version)))


def test_the_rule_file_is_downloaded_as_it_is_written(sign_in: Callable[..., Client]) -> None:
    version = published()
    answer = sign_in("viewer").get(page("file", version))
    assert answer.content.decode() == version.files["amani.yml"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="amani-1.yml"'
    assert (
        sign_in("approver").get(reverse("admin:observability_rulesversion_file", args=[0])).status_code == 404
    )


# --- Publishing ---


def test_an_operator_sees_what_changes_and_publishes_it(
    sign_in: Callable[..., Client], django_user_model: Any
) -> None:
    client = sign_in("approver")
    published()
    change(shipped(), for_seconds=660)
    form = client.get(PUBLISH)
    assert '<li class="am-added">+ for: 11m</li>' in text_of(form)
    answer = client.post(PUBLISH, {"reason": "Fewer pages.", **hidden(form)})
    version = RulesVersion.objects.get(number=2)
    assert (answer.status_code, answer.headers["Location"]) == (303, page("change", version))
    assert (version.state, version.reason) == ("waiting", "Fewer pages.")
    assert version.author == django_user_model.objects.get(email="approver@example.com")


def test_a_version_needs_a_reason_and_a_change(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    form = client.get(PUBLISH)
    assert "Say why the rules change" in text_of(client.post(PUBLISH, {"reason": " ", **hidden(form)}))
    published()
    assert "Nothing." in text_of(client.get(PUBLISH))
    again = {"reason": "Again.", "seen": 1, "digest": RulesVersion.objects.get().digest}
    assert "There is nothing to publish" in text_of(client.post(PUBLISH, again))
    assert RulesVersion.objects.count() == 1


def test_the_second_operator_sees_what_the_first_changed(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    published()
    change(shipped(), for_seconds=660)
    form = client.get(PUBLISH)
    change(shipped("HighResponseTime"), for_seconds=720)
    published("Another operator's.")
    answer = client.post(PUBLISH, {"reason": "Mine.", **hidden(form)})
    text = text_of(answer)
    assert "The rules have changed since you opened this page; the newest version is 2." in text
    meanwhile = text[text.index("Changed since you opened this page") :]
    assert '<li class="am-added">+ for: 12m</li>' in meanwhile
    assert RulesVersion.objects.count() == 2


@pytest.mark.parametrize("seen", ["", "x", "-1", "9" * 30])
def test_an_odd_number_counts_as_none_seen(sign_in: Callable[..., Client], seen: str) -> None:
    published()
    change(shipped(), for_seconds=660)
    text = text_of(sign_in("approver").post(PUBLISH, {"reason": "Why.", "seen": seen, "digest": ""}))
    assert "The rules have changed since you opened this page" in text


# --- Going back ---


def go_back(client: Client, version: RulesVersion) -> RulesVersion:
    form = client.get(page("revert", version))
    answer = client.post(page("revert", version), {"reason": "It was better.", **hidden(form)})
    assert answer.status_code == 303, text_of(answer)
    made = RulesVersion.objects.first()
    assert made is not None
    return made


def test_going_back_is_a_new_version_and_the_tuning_agrees_with_it(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    change(shipped(), for_seconds=660, severity="warning")
    first = published()
    change(shipped(), for_seconds=720)
    change(shipped("HighResponseTime"), enabled=False)
    published()
    assert "Go back to this version" in text_of(client.get(page("change", first)))
    made = go_back(client, first)
    assert (made.number, made.state, made.reverts_to) == (3, "waiting", first)
    assert made.digest == first.digest
    assert render(effective_groups())["amani.yml"] in made.files["amani.yml"]
    newest = RuleChange.objects.filter(rule=shipped()).order_by("-version").first()
    assert newest is not None
    assert (newest.version, newest.for_seconds, newest.severity, newest.reason) == (
        3,
        660,
        "warning",
        "It was better.",
    )


def test_going_back_brings_back_own_rules_and_ends_newer_ones(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    kept, ended, unchanged = own("Kept"), own("Ended"), own("Unchanged")
    for rule in (kept, ended, unchanged):
        change(rule, kind="created")
    first = published()
    AlertRule.objects.filter(pk=kept.pk).update(expression="queue_length > 7", name="Renamed", key="Renamed")
    change(AlertRule.objects.get(pk=kept.pk), kind="edited")
    AlertRule.objects.filter(pk=ended.pk).update(removed_at=timezone.now())
    change(ended, kind="ended")
    newer = own("Newer")
    change(newer, kind="created")
    published()
    made = go_back(client, first)
    assert made.digest == first.digest
    kept.refresh_from_db()
    assert (kept.name, kept.key, kept.expression, kept.threshold) == (
        "Kept",
        "Kept",
        "queue_length > 100",
        100,
    )
    running = AlertRule.objects.filter(group__name="operators", removed_at=None)
    assert set(running.values_list("name", flat=True)) == {"Kept", "Ended", "Unchanged"}
    assert RuleChange.objects.filter(rule=unchanged).count() == 1
    assert [change.kind for change in RuleChange.objects.filter(rule=newer)] == ["ended", "created"]


def test_what_a_release_changed_stays_when_an_operator_goes_back(sign_in: Callable[..., Client]) -> None:
    change(shipped(), for_seconds=660)
    first = published()
    AlertRule.objects.filter(key="HighResponseTime").update(for_seconds=900)
    change(shipped(), for_seconds=720)
    published()
    made = go_back(sign_in("approver"), first)
    assert "    for: 15m\n" in made.files["amani.yml"]
    assert "    for: 11m\n" in made.files["amani.yml"]
    assert made.digest == tuned_as_in(first).digest != first.digest


def test_going_back_without_having_seen_all_changes_nothing(sign_in: Callable[..., Client]) -> None:
    client = sign_in("approver")
    first = published()
    change(shipped(), for_seconds=660)
    published()
    form = client.get(page("revert", first))
    change(shipped(), for_seconds=720)
    published()
    text = text_of(client.post(page("revert", first), {"reason": "Why.", **hidden(form)}))
    assert "The rules have changed since you opened this page" in text
    assert "Say why" in text_of(client.post(page("revert", first), {"reason": "", **hidden(form)}))
    assert (RulesVersion.objects.count(), RuleChange.objects.count()) == (3, 2)


@pytest.mark.parametrize("name", ["publish", "revert"])
def test_who_may_not_tune_rules_neither_publishes_nor_goes_back(
    sign_in: Callable[..., Client], name: str
) -> None:
    first = published()
    url = PUBLISH if name == "publish" else page(name, first)
    client = sign_in("responder")
    assert client.get(url).status_code == 403
    assert client.post(url, {"reason": "Why."}).status_code == 403
    text = text_of(client.get(page("change", first)))
    assert "Go back to this version" not in text
