"""What is exported is imported as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from observability.models import AlertRule, RuleChange
from observability.rules.importing import Imported
from observability.rules.own import Own, create_rule
from observability.rules.publication import in_git
from observability.rules.tuning import NOTHING, Tuning, tune, without_shipped
from observability.tests.rule_changes import shipped
from observability.tests.rule_import.content import KEY

pytestmark = pytest.mark.django_db

names = st.text("abcxyz_", min_size=1, max_size=6)
seconds = st.none() | st.integers(0, 40_000_000).map(lambda milliseconds: milliseconds / 1000)
numbers = st.floats(-1e9, 1e9) | st.integers(-1000, 1000).map(float)
texts = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip())
tunings = st.builds(
    Tuning,
    threshold=st.none() | numbers,
    for_seconds=seconds,
    keep_firing_for_seconds=seconds,
    severity=st.sampled_from(["", "critical", "info"]),
    enabled=st.sampled_from([None, None, False]),
    labels=st.none() | st.dictionaries(names.map("more_{}".format), texts, min_size=1, max_size=3),
    runbook_url=st.sampled_from(["", "https://example.com/y?a=b&c='d'"]),
)
own_rules = st.builds(
    Own,
    name=names.map("Own_{}".format),
    expression=numbers.map("max by (job)\n  (queue_length) >= {}".format),
    for_seconds=seconds.map(lambda value: value or 0.0),
    keep_firing_for_seconds=seconds.map(lambda value: value or 0.0),
    severity=st.sampled_from(["critical", "warning"]),
    labels=st.dictionaries(names.map("more_{}".format), texts, max_size=2),
    summary=texts,
    description=st.just("") | texts,
    runbook_url=st.sampled_from(["", "https://example.com/x"]),
)
TUNED = (
    KEY,
    "HighResponseTime",
    "DiskSpaceLow/machine",
    "DiskSpaceLow/machine/2",
    "MoneyStopped",
    "Watchdog",
)


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    wanted=st.dictionaries(st.sampled_from(TUNED), tunings, min_size=1),
    mine=st.lists(own_rules, max_size=2, unique_by=lambda rule: rule.name),
)
def test_what_is_exported_is_imported_as_it_was(
    wanted: dict[str, Tuning], mine: list[Own], from_git: Callable[..., Imported], approver: Any
) -> None:
    with transaction.atomic():
        for key, tuning in wanted.items():
            row = shipped(key)
            possible = tuning._replace(threshold=None) if row.threshold is None else tuning
            if without_shipped(row, possible) != NOTHING:
                tune(rule_id=row.pk, tuning=possible, actor=approver, reason="Why.", seen_version=0)
        for rule in mine:
            create_rule(own=rule, actor=approver, reason="Why.")
        before = in_git.export(None)
        RuleChange.objects.all().delete()
        AlertRule.objects.filter(group__name="operators").delete()
        from_git(yaml.load(before, Loader=yaml.CSafeLoader))
        assert in_git.export(None) == before
        transaction.set_rollback(True)
