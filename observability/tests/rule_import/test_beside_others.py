"""An import, a release and a revert at the same time end as if they had run one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from observability.alerts.errors import CannotImport, RuleChangedMeanwhile
from observability.models import AlertRule, RuleChange, RulesVersion
from observability.rules import sync
from observability.rules.importing import import_rules, storing
from observability.rules.own import Own, create_rule, edit_rule
from observability.rules.publication import in_git, publish, reverting, versions
from observability.rules.publication.errors import RulesChangedMeanwhile
from observability.rules.publication.reverting import revert, tuned_as_in
from observability.rules.render import FILE
from observability.rules.sync import sync_rules
from observability.rules.tuning import Tuning, tune
from observability.tests.publishing import RULES, ship_only
from observability.tests.rule_changes import shipped
from observability.tests.rule_import.content import OWN, as_yaml, exported, group_in, rule_in
from observability.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# Where each is in the middle of its transaction, when it holds locks: after the first call of this function.
INSIDE: dict[str, tuple[Any, str]] = {
    "import": (storing, "store"),
    "release": (sync, "sync_rule"),
    "revert": (reverting, "wait_for_turn"),
}
OWN_RULE = Own("QueueLong", "queue_length > 100", 300, 0, "warning", {}, "The queue is long.", "", "")
REFUSALS = (CannotImport, RuleChangedMeanwhile, RulesChangedMeanwhile)
DONE = "done"

Acts = dict[str, Callable[[], Any]]


@pytest.fixture
def acts(approver: Any, folder: Path, tmp_path: Path, settings: Any) -> Acts:
    """What runs at the same time. Two versions of the rules are stored before."""
    settings.ALERT_RULES_FOLDER = str(tmp_path)
    who = {"actor": approver, "reason": "Before."}
    ship_only(tmp_path / "shipped")
    own = create_rule(own=OWN_RULE, **who)
    first = publish(author=approver, reason="Before.")
    tune(rule_id=shipped("Down").pk, tuning=Tuning(for_seconds=7), seen_version=0, **who)
    edited = OWN_RULE._replace(expression="queue_length > 70")
    edit_rule(rule_id=own.pk, own=edited, seen_version=1, **who)
    publish(author=approver, reason="Before.")
    return {
        "import": import_of(folder, approver),
        "release": release_in(tmp_path / "next"),
        "revert": revert_to(first, approver),
    }


def import_of(folder: Path, approver: Any) -> Callable[[], Any]:
    """It tunes two rules, edits an own one and adds another."""
    content = exported()
    rule_in(content, "Down")["for"] = "1m"
    rule_in(content, "TooManyErrors")["labels"]["team"] = "x"
    other = OWN | {"alert": "Other", "labels": {"severity": "info"}}
    group_in(content, "operators")["rules"] = [OWN | {"expr": "queue_length > 50"}, other]
    (folder / "rules.yml").write_text(as_yaml(content))
    return lambda: import_rules(folder, actor=approver, reason="Import.", publishing=True)


def release_in(folder: Path) -> Callable[[], Any]:
    """It changes the last rule first, and no longer has one of the earlier ones."""
    head, one, two = RULES.split("  - name: ")
    records_only = one[: one.index("      - alert:")]
    text = f"{head}  - name: {two.replace('up == 0', 'up < 1')}  - name: {records_only}"
    folder.mkdir()
    (folder / "rules.yml").write_text(text)
    return lambda: sync_rules(folder)


def revert_to(version: RulesVersion, approver: Any) -> Callable[[], Any]:
    digest = tuned_as_in(version).digest
    return lambda: revert(version=version, author=approver, reason="Revert.", seen=2, digest=digest)


def outcome_of(act: Callable[[], Any]) -> str:
    """`DONE`, or the class of the refusal. Any other error is named as well, for the test to find."""
    try:
        act()
    except Exception as problem:  # noqa: BLE001  (the test asserts which it may be)
        return type(problem).__name__
    return DONE


def end() -> dict[str, Any]:
    """What is stored, without ids and times."""
    stored = ("rule__key", "version", "kind", "reason", "for_seconds", "labels")
    rules = AlertRule.objects.order_by("key")
    return {
        "rules": in_git.export(None),
        "rows": [(rule.key, rule.expression, rule.removed_at is None) for rule in rules],
        "changes": list(RuleChange.objects.order_by(*stored[:2]).values_list(*stored)),
        "versions": list(RulesVersion.objects.values_list("number", "reason", "state", "digest")),
    }


def serial_ends(acts: Sequence[Callable[[], Any]]) -> list[dict[str, Any]]:
    """How it ends when they run one after another, in each order in which none is refused."""
    ends = []
    for order in permutations(acts):
        with transaction.atomic():
            if {outcome_of(act) for act in order} <= {DONE}:
                ends.append(end())
            transaction.set_rollback(True)
    return ends


def require_serial(
    acts: Acts, outcomes: dict[str, str], expected: dict[tuple[str, ...], list[dict[str, Any]]]
) -> None:
    """Asserts that those that were refused changed nothing, and that the others ran one after another."""
    assert set(outcomes) <= set(acts)
    assert set(outcomes.values()) <= {DONE, *(refusal.__name__ for refusal in REFUSALS)}, outcomes
    done = tuple(sorted(name for name, outcome in outcomes.items() if outcome == DONE))
    assert done, outcomes
    assert end() in expected[done]


def expected_ends(acts: Acts, names: Sequence[str]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The serial ends for each choice of those that are not refused."""
    choices = (chosen for many in range(1, len(names) + 1) for chosen in combinations(sorted(names), many))
    return {chosen: serial_ends([acts[name] for name in chosen]) for chosen in choices}


def another_waits() -> bool:
    """Whether another session waits for a lock that this one holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def inside_of(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], Any]) -> None:
    """Has `act` run once, in the middle of the transaction of the named one."""
    module, function = INSIDE[name]
    original, left = getattr(module, function), [act]

    def wrapped(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        if left:
            left.pop()()
        return result

    monkeypatch.setattr(module, function, wrapped)


@pytest.mark.parametrize(("first", "second"), list(permutations(INSIDE, 2)))
def test_one_that_comes_while_another_is_in_the_middle_waits_for_it_or_is_refused(
    first: str, second: str, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, outcomes = expected_ends(acts, (first, second)), {}

    def run() -> None:
        outcomes[second] = outcome_of(acts[second])
        connection.close()

    other = threading.Thread(target=run)

    def begin_the_second() -> None:
        other.start()
        assert wait_until(lambda: not other.is_alive() or another_waits())

    inside_of(monkeypatch, first, begin_the_second)
    outcomes[first] = outcome_of(acts[first])
    other.join()
    require_serial(acts, outcomes, expected)


EDITED = OWN_RULE._replace(expression="queue_length > 1")


@pytest.mark.parametrize("change", ["edit", "create"])
def test_a_version_has_rules_and_changes_of_the_same_moment(
    change: str, acts: Acts, approver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = {"actor": approver, "reason": "Meanwhile."}
    changed = {
        "edit": lambda: edit_rule(rule_id=shipped(OWN_RULE.name).pk, own=EDITED, seen_version=2, **who),
        "create": lambda: create_rule(own=OWN_RULE._replace(name="Late"), **who),
    }
    tune(rule_id=shipped("Down").pk, tuning=Tuning(for_seconds=8), seen_version=1, **who)
    outcomes: list[str] = []

    def run() -> None:
        outcomes.append(outcome_of(changed[change]))
        connection.close()

    other = threading.Thread(target=run)

    def begin_the_change() -> None:
        other.start()
        assert wait_until(lambda: not other.is_alive() or another_waits())

    monkeypatch.setitem(INSIDE, "publish", (versions, "effective_groups"))
    inside_of(monkeypatch, "publish", begin_the_change)
    version = publish(author=approver, reason="Now.")
    other.join()
    assert outcomes == [DONE]
    assert "queue_length > 1\n" not in version.files[FILE]
    assert "Late" not in version.files[FILE]
    own = str(shipped(OWN_RULE.name).pk)
    assert version.changes == {str(shipped("Down").pk): 2, own: 2}
    assert RuleChange.objects.count() == 5


@pytest.mark.parametrize("number", range(2))
def test_all_at_the_same_instant_end_as_one_after_another(number: int, acts: Acts) -> None:
    expected, outcomes = expected_ends(acts, tuple(acts)), {}
    start = threading.Barrier(len(acts))

    def run(name: str) -> None:
        start.wait()
        outcomes[name] = outcome_of(acts[name])
        connection.close()

    threads = [threading.Thread(target=run, args=(name,)) for name in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require_serial(acts, outcomes, expected)
