"""What tests of publication share: a small release, a version of its rules, and the worker's attempt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observability.models import AlertRule, RuleGroup, RulesVersion
from observability.rules.publication import publish, work
from observability.rules.sync import sync_rules

RULES = """
groups:
  - name: one
    interval: 30s
    limit: 5
    rules:
      - record: job:errors:rate
        expr: rate(errors_total[5m])
      - alert: TooManyErrors
        expr: |
          job:errors:rate
            > 0.05
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: critical, scope: all}
        annotations: {summary: "Errors on {{ $labels.job }}: ü"}
  - name: two
    rules:
      - alert: Down
        expr: up == 0
"""


def ship_only(folder: Path) -> Path:
    """Makes RULES all that this release ships: two groups with three rules. Returns their file."""
    AlertRule.objects.all().delete()
    RuleGroup.objects.all().delete()
    folder.mkdir()
    ship(folder / "rules.yml")
    return folder / "rules.yml"


def ship(source: Path, *changes: tuple[str, str]) -> None:
    """Makes the rows say RULES with these replacements."""
    text = RULES
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    source.write_text(text)
    sync_rules(source.parent)


def store(**changes: Any) -> RulesVersion:
    return publish(**{"author": None, "by": "a test", "reason": "It is a test."} | changes)


def done(number: int) -> RulesVersion:
    """What became of a version, after the worker has run once."""
    work.run_due()
    return RulesVersion.objects.get(number=number)
