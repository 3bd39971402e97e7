"""Publishing rules: stored as a version, checked, written, loaded, read back; what is refused, and why."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from observability.alerts.errors import ReasonMissing
from observability.models import AlertRule, RulesVersion
from observability.rules.effective import effective_groups
from observability.rules.files import read_text
from observability.rules.publication import folder, publish, versions, watching, work
from observability.rules.publication.errors import (
    NoRules,
    NothingToPublish,
    PublicationOff,
    RulesChangedMeanwhile,
)
from observability.rules.publication.seeding import seed
from observability.rules.publication.versions import publish_release, with_number
from observability.rules.render import FILE, duration_text, render
from observability.rules.sync import sync_after_migrate
from observability.tests.log_events import events_of
from observability.tests.publishing import done, ship, ship_only, store
from observability.tests.rules_stand_in import RulesStandIn
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Path:
    """The folder that Amani writes and Prometheus reads."""
    rules = tmp_path / "rules"
    rules.mkdir()
    settings.ALERT_RULES_FOLDER = str(rules)
    return rules


@pytest.fixture
def prometheus(place: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesStandIn]:
    stand_in = RulesStandIn(place)
    settings.PROMETHEUS_URL = stand_in.url
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    monkeypatch.setattr("shutil.which", lambda name: None)  # without promtool; a test of its own has it
    yield stand_in
    stand_in.close()


@pytest.fixture
def shipped(place: Path, tmp_path: Path) -> Path:
    """Two groups with three rules are what this release ships; returns their file."""
    return ship_only(tmp_path / "shipped")


def expressions(place: Path) -> list[str]:
    """The expressions in the folder; also shows that its file is whole."""
    groups = read_text(FILE, (place / FILE).read_text())
    return [rule.expression for group in groups for rule in group.rules]


# --- The text ---


def test_what_is_rendered_is_read_as_what_it_was(shipped: Path) -> None:
    groups = effective_groups()
    read = read_text("rules.yml", render(groups)[FILE])
    assert read == groups
    assert render(read) == render(groups)


def test_an_expression_is_a_block_of_lines(shipped: Path) -> None:
    text = render(effective_groups())[FILE]
    assert "    expr: |-\n      job:errors:rate\n        > 0.05\n    for: 1m30s\n" in text
    assert "ü" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "1m30s"), (0.5, "500ms"), (86_400, "1d"), (0, "0s"), (3661.25, "1h1m1s250ms")],
)
def test_durations_are_written_as_prometheus_reads_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# --- Storing a version ---


def test_a_version_has_an_author_a_reason_and_the_rules(
    shipped: Path,
    operator: Any,
    rings: list[str],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    ada = operator("approver")
    with django_capture_on_commit_callbacks(execute=True) as rung:
        version = publish(author=ada, reason=" Fewer pages. ", seen=0)
    assert (version.number, version.state, version.author_id) == (1, "waiting", ada.pk)
    assert (version.reason, version.rule_count) == ("Fewer pages.", 3)
    assert version.files == with_number(render(effective_groups()), 1)
    assert version.files[FILE].startswith("# Version 1 of the alert rules, made by Amani.")
    assert len(rung) == 1


def test_nothing_is_published_without_a_reason_a_change_rules_or_a_folder(
    shipped: Path, settings: Any
) -> None:
    with pytest.raises(ReasonMissing):
        store(reason=" ")
    store()
    with pytest.raises(NothingToPublish, match="those of version 1"):
        store()
    AlertRule.objects.update(removed_at=timezone.now())
    with pytest.raises(NoRules, match="sync_alert_rules"):
        store()
    settings.ALERT_RULES_FOLDER = ""
    with pytest.raises(PublicationOff, match="neither ALERT_RULES_FOLDER nor ALERT_RULES_TOKEN is set"):
        store()
    assert RulesVersion.objects.count() == 1


def test_the_second_of_two_operators_is_told_that_the_first_changed_something(shipped: Path) -> None:
    store(seen=0)
    ship(shipped, ("0.05", "0.04"))
    with pytest.raises(RulesChangedMeanwhile, match="the newest version is 1"):
        store(seen=0)
    rules = versions.candidate()
    ship(shipped, ("0.05", "0.03"))
    with pytest.raises(RulesChangedMeanwhile):
        store(seen=1, digest=rules.digest)
    assert store(seen=1, digest=versions.candidate().digest).number == 2


def test_a_version_that_still_waits_is_replaced_by_the_next(shipped: Path) -> None:
    store()
    ship(shipped, ("0.05", "0.04"))
    store()
    assert list(RulesVersion.objects.values_list("number", "state")) == [(2, "waiting"), (1, "superseded")]


@pytest.mark.parametrize("change", [{"reason": "x"}, {"files": {}}, {"number": 7}])
def test_what_was_published_is_not_changed_later(shipped: Path, change: dict[str, Any]) -> None:
    version = store()
    with pytest.raises(DatabaseError, match="Cannot update"), transaction.atomic():
        RulesVersion.objects.update(**change)
    with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
        version.delete()


# --- Publishing it ---


def test_prometheus_has_the_rules_and_the_version_is_published(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    store()
    version = done(1)
    assert (version.state, version.last_error, version.lease_until) == ("published", "", None)
    assert version.published_at is not None
    assert (place / FILE).read_text() == version.files[FILE]
    assert [group.name for group in prometheus.groups] == ["one", "two"]
    assert stat.S_IMODE((place / FILE).stat().st_mode) == 0o644
    assert [file.name for file in place.iterdir()] == [FILE]
    assert work.run_due() == 0


def test_the_next_version_replaces_it(shipped: Path, place: Path, prometheus: RulesStandIn) -> None:
    store()
    done(1)
    ship(shipped, ("0.05", "0.04"))
    store()
    assert done(2).state == "published"
    assert RulesVersion.objects.get(number=1).state == "superseded"
    assert "job:errors:rate\n  > 0.04" in expressions(place)


def test_a_release_publishes_its_changed_rules_by_itself(
    shipped: Path, prometheus: RulesStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.rules.sync.sync_rules", lambda: None)
    sync_after_migrate(plan=[])
    version = done(1)
    assert version.state == "published"
    assert version.author_text.startswith("release amani-backend@")
    sync_after_migrate(plan=[])
    assert RulesVersion.objects.count() == 1


def test_a_release_without_a_folder_publishes_nothing(shipped: Path, settings: Any) -> None:
    settings.ALERT_RULES_FOLDER = ""
    assert publish_release() is None
    settings.ALERT_RULES_FOLDER = "/somewhere"
    AlertRule.objects.update(removed_at=timezone.now())
    assert publish_release() is None


# --- Refused: the old file is in place again, and the operator reads why ---


@pytest.fixture
def first(shipped: Path, prometheus: RulesStandIn) -> RulesVersion:
    """Version 1, published."""
    store()
    version = done(1)
    assert version.state == "published"
    prometheus.asked.clear()
    return version


def refused(shipped: Path, place: Path, first: RulesVersion, *changes: tuple[str, str]) -> RulesVersion:
    """Version 2 after the worker has refused it; version 1 is published and in its place."""
    ship(shipped, *(changes or (("0.05", "0.04"),)))
    store()
    version = done(2)
    assert version.state == "refused"
    first.refresh_from_db()
    assert first.state == "published"
    assert (place / FILE).read_text() == first.files[FILE]
    return version


def where(version: RulesVersion) -> tuple[str, int, int]:
    return version.refused_file, version.refused_line or 0, version.refused_column or 0


def test_a_broken_expression_never_reaches_prometheus(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    version = refused(shipped, place, first, ("> 0.05", "> broken"))
    file, line, column = where(version)
    assert (file, version.files[FILE].splitlines()[line - 1][column - 1 :]) == (FILE, "broken")
    assert version.last_error == (
        '"TooManyErrors": 2:5: parse error: unexpected identifier "broken". Version 1 stays in place.'
    )
    assert set(prometheus.asked) == {"/api/v1/format_query"}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("before", "after", "says", "at"),
    [
        ("up == 0", "up ==", "unexpected end of input", "up =="),
        ("> 0.05", "> 0.05)", "unexpected right parenthesis", ")"),
        ("{{ $labels.job }}", "{{ $labels.job }", "template", "job:errors:rate"),
    ],
)
def test_promtool_finds_the_line_and_the_column(
    shipped: Path,
    place: Path,
    prometheus: RulesStandIn,
    first: RulesVersion,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
    says: str,
    at: str,
) -> None:
    monkeypatch.undo()  # promtool is on the PATH again
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    version = refused(shipped, place, first, (before, after))
    _, line, column = where(version)
    text = version.files[FILE].splitlines()[line - 1]
    assert at in text[column - 1 :] or text.endswith(at)
    assert says in version.last_error
    assert prometheus.asked == []


def test_a_file_that_prometheus_does_not_load_is_taken_back(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    version = refused(shipped, place, first, ("{{ $labels.job }}", "{{ unclosed }}"))
    assert version.last_error == (
        "Prometheus did not load the file; its log says why. "
        "failed to reload config: one or more errors occurred. Version 1 is in place again."
    )
    assert prometheus.asked.count("/-/reload") == 2


def test_a_rule_that_cannot_be_evaluated_is_taken_back(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    version = refused(shipped, place, first, ("up == 0", "failing == 0"))
    assert version.last_error == (
        "Prometheus cannot evaluate Down: many-to-many matching not allowed. Version 1 is in place again."
    )
    assert prometheus.groups[1].rules[0].expression == "up == 0"


def test_a_rule_that_failed_before_does_not_keep_the_others_back(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    failing = ("up == 0", "failing == 0")
    ship(shipped, failing)
    version = store()
    RulesVersion.objects.filter(number=1).update(state="superseded")
    RulesVersion.objects.filter(pk=version.pk).update(state="published", published_at=timezone.now())
    ship(shipped, failing, ("0.05", "0.04"))
    store()
    assert done(3).state == "published"


def test_rules_that_were_not_evaluated_in_time_are_counted(shipped: Path, prometheus: RulesStandIn) -> None:
    prometheus.unevaluated = {"Down", "TooManyErrors"}
    store()
    version = done(1)
    assert version.state == "published"
    assert version.last_error == "Prometheus had not yet evaluated 2 of the rules when this was recorded."


def test_a_pattern_that_matches_nothing_ends_in_not_published(
    shipped: Path, place: Path, prometheus: RulesStandIn, tmp_path: Path
) -> None:
    prometheus.folder = tmp_path / "elsewhere"
    store()
    version = done(1)
    assert version.state == "refused"
    assert "Prometheus has loaded none of these rules. Does a pattern of its rule_files" in version.last_error
    assert version.last_error.endswith("What was there before is in place again.")
    assert list(place.iterdir()) == []


def test_a_file_that_is_mounted_by_itself_ends_in_not_published(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion, tmp_path: Path
) -> None:
    prometheus.folder = tmp_path / "mounted"  # as it was when the container started: a rename changes nothing
    prometheus.folder.mkdir()
    (prometheus.folder / FILE).write_text(first.files[FILE])
    version = refused(shipped, place, first, ("0.05", "0.04"), ("for: 1m30s", "for: 2m"))
    assert version.last_error == (
        f"Prometheus has another TooManyErrors in the group one, from /etc/prometheus/rules/{FILE}: "
        "another expression, for, annotations. Version 1 is in place again."
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("severity: critical", "severity: error")], "another labels"),
        ([("Errors on", "Faults on")], "another annotations"),
        ([("keep_firing_for: 5m", "keep_firing_for: 6m")], "another keep firing for"),
        ([("interval: 30s", "interval: 31s")], "evaluates the group one every 30 s"),
        ([("limit: 5", "limit: 6")], "another limit of the group one: 5"),
        (
            [("alert: Down", "alert: Gone")],
            "Prometheus also has Down in the group two",
        ),
        ([("name: two", "name: three")], "Prometheus has no Down in the group three"),
    ],
)
def test_every_part_of_a_rule_is_read_back(
    shipped: Path,
    place: Path,
    prometheus: RulesStandIn,
    first: RulesVersion,
    tmp_path: Path,
    changes: list[tuple[str, str]],
    says: str,
) -> None:
    prometheus.folder = tmp_path / "mounted"
    prometheus.folder.mkdir()
    (prometheus.folder / FILE).write_text(first.files[FILE])
    assert says in refused(shipped, place, first, *changes).last_error


def test_a_group_that_another_file_also_has_is_named(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    prometheus.others = [prometheus.loaded(prometheus.groups[1]) | {"file": "/etc/prometheus/old.yml"}]
    version = refused(shipped, place, first)
    assert (
        "Prometheus also has Down in the group two, from /etc/prometheus/old.yml and "
        f"/etc/prometheus/rules/{FILE}." in version.last_error
    )


def test_rules_of_others_are_left_alone(shipped: Path, prometheus: RulesStandIn) -> None:
    other = {"name": "theirs", "file": "/etc/prometheus/theirs.yml", "interval": 15, "rules": []}
    prometheus.others = [other]
    store()
    assert done(1).state == "published"


def test_a_prometheus_that_may_not_be_reloaded_is_named(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    prometheus.replies["/-/reload"] = [Reply(403, "Lifecycle API is not enabled."), Reply()]
    assert "start it with --web.enable-lifecycle" in refused(shipped, place, first).last_error


def test_a_first_version_that_is_refused_gives_back_what_was_there(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    before = "groups: []\n"
    (place / FILE).write_text(before)
    ship(shipped, ("up == 0", "failing == 0"))
    store()
    assert done(1).state == "refused"
    assert (place / FILE).read_text() == before


def test_a_refused_version_can_be_published_again(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    prometheus.replies["/-/reload"] = [Reply(403), Reply()]
    refused(shipped, place, first)
    store()
    assert done(3).state == "published"


# --- Waiting: nothing is known against the version ---


@pytest.mark.parametrize("path", ["/api/v1/format_query", "/-/reload", "/api/v1/rules"])
def test_a_prometheus_that_starts_up_is_waited_for(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion, path: str
) -> None:
    ship(shipped, ("0.05", "0.04"))
    store()
    prometheus.replies[path] = [Reply(503, "Service Unavailable")]
    version = done(2)
    assert (version.state, version.lease_until) == ("publishing", None)
    assert "Prometheus answered 503" in version.last_error
    assert version.next_attempt_at is not None
    assert version.next_attempt_at > timezone.now()
    assert RulesVersion.objects.get(number=1).state == "published"
    RulesVersion.objects.filter(number=2).update(next_attempt_at=timezone.now())
    version = done(2)
    assert (version.state, version.last_error) == ("published", "")


def test_a_folder_that_is_missing_is_waited_for(shipped: Path, place: Path, prometheus: RulesStandIn) -> None:
    place.rmdir()
    store()
    version = done(1)
    assert (version.state, version.last_error) == (
        "publishing",
        f"{place / FILE} cannot be written: No such file or directory.",
    )


def test_a_fault_of_amani_is_waited_for_and_recorded(
    shipped: Path, prometheus: RulesStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "STEPS", (lambda this: int("not a number"),))
    store()
    assert done(1).last_error == "Internal error: ValueError."


def test_a_newer_version_does_not_wait_for_one_that_waits(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    prometheus.replies["/-/reload"] = [Reply(503)]
    store()
    done(1)
    ship(shipped, ("0.05", "0.04"))
    store()
    assert done(2).state == "published"
    assert RulesVersion.objects.get(number=1).state == "superseded"
    assert RulesVersion.objects.get(number=1).published_at is None


def test_only_one_worker_publishes_at_a_time(shipped: Path, prometheus: RulesStandIn) -> None:
    store()
    claimed = work.claim()
    assert claimed is not None
    ship(shipped, ("0.05", "0.04"))
    store()
    assert work.claim() is None
    work.attempt(claimed)
    assert dict(RulesVersion.objects.values_list("number", "state")) == {1: "published", 2: "waiting"}
    assert done(2).state == "published"


def test_a_worker_whose_lease_was_taken_over_records_nothing(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    store()
    slow = work.claim()
    assert slow is not None
    RulesVersion.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert done(1).state == "published"
    before = RulesVersion.objects.get(number=1).published_at
    work.attempt(slow)
    assert RulesVersion.objects.get(number=1).published_at == before


# --- Killed ---


def kill_before(index: int) -> None:
    """Publishes in a process of its own, which is killed before the step of this number."""
    steps = list(work.STEPS)
    steps.insert(index, lambda this: os.kill(os.getpid(), signal.SIGKILL))
    connection.close()
    child = os.fork()
    if child == 0:
        work.STEPS = tuple(steps)
        work.run_due()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_at_any_step_leaves_a_whole_file_and_the_next_one_goes_on(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    store()
    done(1)
    for index in range(len(work.STEPS) + 1):
        number, limit = index + 2, f"0.{index + 10}"
        before = RulesVersion.objects.get(state="published")
        ship(shipped, ("0.05", limit))
        version = store()
        kill_before(index)
        is_recorded = index == len(work.STEPS)
        version.refresh_from_db()
        assert version.state == ("published" if is_recorded else "publishing")
        assert (place / FILE).read_text() in (before.files[FILE], version.files[FILE])
        if not is_recorded:
            assert version.lease_until is not None
            assert work.claim() is None
            RulesVersion.objects.filter(pk=version.pk).update(lease_until=timezone.now())
        assert done(number).state == "published"
        assert f"job:errors:rate\n  > {limit}" in expressions(place)
        assert RulesVersion.objects.filter(state="published").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_refused_version_is_put_back_although_a_worker_was_killed_after_it_was_written(
    shipped: Path, place: Path, prometheus: RulesStandIn
) -> None:
    store()
    first = done(1)
    ship(shipped, ("up == 0", "failing == 0"))
    store()
    kill_before(3)
    assert prometheus.groups[1].rules[0].expression == "failing == 0"
    RulesVersion.objects.filter(number=2).update(lease_until=timezone.now())
    assert done(2).state == "refused"
    assert (place / FILE).read_text() == first.files[FILE]
    assert prometheus.groups[1].rules[0].expression == "up == 0"


def test_what_a_killed_writer_left_is_written_over(place: Path) -> None:
    (place / folder.UNFINISHED).write_text("half")
    folder.write(place, {FILE: "groups: []\n"})
    assert folder.read(place) == {FILE: "groups: []\n"}
    assert [file.name for file in place.iterdir()] == [FILE]


# --- Watched ---


def watched() -> str:
    watching.watch()
    return RulesVersion.objects.get(number=1).differs_because


def restored(caplog: pytest.LogCaptureFixture) -> list[bool]:
    """What the log says was restored: whether the file differed, for each time."""
    events = (each for each in events_of(caplog.records) if each["event"] == "published_rules_restored")
    return [each["file_differed"] for each in events]


def test_what_prometheus_and_the_folder_have_is_compared(
    prometheus: RulesStandIn, first: RulesVersion, caplog: pytest.LogCaptureFixture
) -> None:
    assert watched() == ""
    assert restored(caplog) == []
    assert "/-/reload" not in prometheus.asked
    assert watching.unpublished_seconds(timezone.now()) == 0.0


@pytest.mark.parametrize("text", ["groups: []\n", None])
def test_a_file_that_was_changed_or_lost_is_written_again(
    place: Path,
    prometheus: RulesStandIn,
    first: RulesVersion,
    text: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (place / FILE).unlink() if text is None else (place / FILE).write_text(text)
    prometheus.groups = []
    assert watched() == ""
    assert (place / FILE).read_text() == first.files[FILE]
    assert [group.name for group in prometheus.groups] == ["one", "two"]
    assert restored(caplog) == [True]


def test_a_prometheus_that_has_lost_rules_is_told_to_reload(
    prometheus: RulesStandIn, first: RulesVersion, caplog: pytest.LogCaptureFixture
) -> None:
    prometheus.groups = prometheus.groups[:1]
    assert watched() == ""
    assert restored(caplog) == [False]
    assert prometheus.asked.count("/-/reload") == 1


def test_since_when_prometheus_has_other_rules_is_stored_and_measured(
    place: Path,
    prometheus: RulesStandIn,
    first: RulesVersion,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    prometheus.folder, prometheus.groups = tmp_path / "elsewhere", []
    assert "Prometheus has loaded none of these rules." in watched()
    since = RulesVersion.objects.get(number=1).differs_since
    assert since is not None
    watched()
    assert RulesVersion.objects.get(number=1).differs_since == since
    assert watching.unpublished_seconds(since + timedelta(minutes=7)) == 420.0
    assert restored(caplog) == []  # it was told to reload, and has other rules still
    prometheus.folder = place
    assert watched() == ""
    assert restored(caplog) == [False]
    assert RulesVersion.objects.get(number=1).differs_since is None


def test_nothing_is_known_while_prometheus_does_not_answer(
    prometheus: RulesStandIn, first: RulesVersion
) -> None:
    prometheus.groups = []
    prometheus.replies["/api/v1/rules"] = [Reply(503)]
    assert watched() == ""
    assert RulesVersion.objects.get(number=1).differs_since is None


def test_the_watch_and_a_publication_do_not_write_the_folder_at_the_same_time(
    shipped: Path, place: Path, prometheus: RulesStandIn, first: RulesVersion
) -> None:
    claimed = watching.claim_published()
    assert claimed is not None
    ship(shipped, ("0.05", "0.04"))
    store()
    assert work.claim() is None
    claimed.rows().update(lease_until=None)
    assert work.claim() is not None
    (place / FILE).unlink()
    assert watched() == ""
    assert not (place / FILE).exists()


def test_a_version_that_waits_or_was_refused_counts_as_not_published(
    shipped: Path, first: RulesVersion, settings: Any
) -> None:
    ship(shipped, ("0.05", "0.04"))
    version = store()
    later = version.created_at + timedelta(minutes=11)
    assert watching.unpublished_seconds(later) == 660.0
    RulesVersion.objects.filter(pk=version.pk).update(state="refused")
    assert watching.unpublished_seconds(later) == 660.0
    settings.ALERT_RULES_FOLDER = ""
    assert watching.unpublished_seconds(later) == 0.0


# --- A folder without a file; files in git ---


def test_a_new_folder_gets_the_file_before_a_worker_runs(shipped: Path, place: Path) -> None:
    assert seed() is None
    version = store()
    assert seed() == version
    assert (place / FILE).read_text() == version.files[FILE]
    assert seed() is None


def test_a_lost_folder_gets_the_published_version_and_not_a_newer_one(
    shipped: Path, place: Path, first: RulesVersion
) -> None:
    ship(shipped, ("0.05", "0.04"))
    store()
    (place / FILE).unlink()
    assert seed() == first
    assert (place / FILE).read_text() == first.files[FILE]


@pytest.mark.needs("promtool")
def test_a_first_version_that_promtool_refuses_is_not_put_in_place(shipped: Path, place: Path) -> None:
    ship(shipped, ("up == 0", "up =="))
    store()
    with pytest.raises(CommandError, match="unexpected end of input"):
        call_command("alert_rules", "seed")
    assert list(place.iterdir()) == []


def test_the_rules_are_exported_and_compared_with_files(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("alert_rules", "export")
    assert read_text("printed", capsys.readouterr().out) == [
        group._replace(file="printed") for group in effective_groups()
    ]
    target = tmp_path / "git"
    target.mkdir()
    call_command("alert_rules", "export", f"--folder={target}")
    call_command("alert_rules", "diff", str(target))
    assert capsys.readouterr().out.endswith("The rules are the same.\n")
    ship(shipped, ("0.05", "0.04"))
    call_command("alert_rules", "diff", str(target))
    said = capsys.readouterr().out
    assert "@@ TooManyErrors\n" in said
    assert "-         > 0.05\n+         > 0.04\n" in said
    with pytest.raises(CommandError, match="it has no rule file"):
        call_command("alert_rules", "diff", str(tmp_path / "nowhere"))
