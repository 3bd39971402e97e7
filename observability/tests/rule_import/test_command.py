"""`manage.py alert_rules import`: what it says, stores and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from observability.models import RuleChange, RuleGroup, RulesVersion
from observability.tests.rule_import.content import (
    KEY,
    NO_SUMMARY,
    OWN,
    as_yaml,
    by_hand,
    connections_in,
    exported,
    group_in,
)

pytestmark = pytest.mark.django_db


def command(*arguments: str, form: str = "--no-color") -> str:
    out = StringIO()
    call_command("alert_rules", form, "import", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def changed(folder: Path, approver: Any) -> list[str]:
    """The arguments of an import that tunes a rule, and adds one."""
    content = by_hand(exported())
    connections_in(content)["expr"] = connections_in(content)["expr"].replace("80", "120")
    group_in(content, "operators")["rules"] = [OWN | {"expr": "queue_length\n  > 100"}]
    (folder / "rules.yml").write_text(as_yaml(content))
    return [str(folder), "--as=Approver@example.com", "--reason=As in git."]


CHANGES = """\
amani_database: DatabaseConnectionIssues/connections: tuned
  threshold: as shipped → > 120
operators: QueueLong: added
  expression: queue_length > 100
  for: 5m
  severity: warning
  label team: x
  summary: The queue is long.
Warning: operators: QueueLong: Prometheus did not answer. Not checked: whether its series exist, whether its \
windows cover several scrapes, how long it takes.
"""


def test_a_dry_run_says_what_would_change_and_stores_nothing(changed: list[str]) -> None:
    assert command(*changed, "--dry-run") == CHANGES + "2 rules would change. Nothing was stored.\n"
    assert not RuleChange.objects.exists()
    assert not RuleGroup.objects.filter(name="operators").exists()


def test_the_command_says_what_changed_and_how_prometheus_gets_it(changed: list[str], settings: Any) -> None:
    settings.ALERT_RULES_FOLDER = "/rules"
    assert command(*changed) == (
        f"{CHANGES}Changed: 2 rules. Publish them on the page Versions of the rules, so that Prometheus has "
        "them.\n"
    )
    assert RuleChange.objects.count() == 2
    assert command(*changed) == "Nothing differs.\n"
    assert not RulesVersion.objects.exists()


def test_the_command_publishes_if_asked_to(changed: list[str], settings: Any, approver: Any) -> None:
    settings.ALERT_RULES_FOLDER = "/rules"
    assert command(*changed, "--publish").endswith(
        "Changed: 2 rules. The worker publishes them as version 1.\n"
    )
    version = RulesVersion.objects.get()
    assert (version.author, version.reason, version.state) == (approver, "As in git.", "waiting")
    assert 'db_connections_active{job="amani"}) > 120' in version.files["amani.yml"]
    assert command(*changed, "--publish") == "Nothing differs.\n"
    assert RulesVersion.objects.count() == 1


def test_what_cannot_be_published_is_not_stored_either(changed: list[str], settings: Any) -> None:
    settings.ALERT_RULES_FOLDER = ""
    with pytest.raises(CommandError, match="Amani publishes no rules here"):
        command(*changed, "--publish")
    assert not RuleChange.objects.exists()
    assert command(*changed).endswith(
        "Amani publishes no rules here: give Prometheus the file that `alert_rules export` prints.\n"
    )


def test_programs_get_one_document(changed: list[str]) -> None:
    said = json.loads(command(*changed, "--dry-run", form="--json"))
    assert (said["stored"], said["version"], len(said["warnings"])) == (False, None, 1)
    assert said["changes"][0] == {
        "group": "amani_database",
        "rule": KEY,
        "what": "tuned",
        "differences": [{"what": "threshold", "before": "as shipped", "after": "> 120"}],
    }


def test_the_command_names_each_difference_and_fails(changed: list[str], folder: Path) -> None:
    file = folder / "rules.yml"
    file.write_text(file.read_text().replace("summary: The queue is long.", "nothing: x"))
    out = StringIO()
    with pytest.raises(
        CommandError, match=r"^The rules cannot become those of the files\. Nothing was stored\.$"
    ):
        call_command("alert_rules", "import", *changed, stdout=out)
    assert out.getvalue() == f"operators: QueueLong: {NO_SUMMARY}\n"
    with pytest.raises(CommandError):
        call_command("alert_rules", "--json", "import", *changed, stdout=(out := StringIO()))
    problem = f"operators: QueueLong: {NO_SUMMARY}"
    assert json.loads(out.getvalue()) == {"stored": False, "problems": [problem]}
    assert not RuleChange.objects.exists()


def test_the_command_needs_a_user_who_may_tune(changed: list[str], operator: Callable[..., Any]) -> None:
    operator("viewer")
    folder, _, reason = changed
    with pytest.raises(CommandError, match="No user has the address eve@example"):
        command(folder, "--as=eve@example.com", reason)
    with pytest.raises(
        CommandError, match=r"viewer@example\.com may not change alert rules: an approver may"
    ):
        command(folder, "--as=viewer@example.com", reason)
    with pytest.raises(CommandError, match="Say why"):
        command(folder, "--as=approver@example.com", "--reason= ")
