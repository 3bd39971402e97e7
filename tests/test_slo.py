"""deploy/slo.yml: what follows from it is current, what it asks for exists, a mistake has one clear line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.slo import OBJECTIVES as FILE
from local.slo import RULES
from local.slo import __main__ as slo
from local.slo.dashboard import dashboard_of
from local.slo.objectives import BURNS, Wrong, read
from local.slo.rules import LONG_WINDOWS, SHORT_WINDOWS, groups_of, rules_file
from observability.metrics import REGISTRY
from tests.rule_files import parse_query

OBJECTIVES = read(FILE.read_text())
GOOD: dict[str, Any] = {
    "name": "an-example",
    "title": "Examples work",
    "bad": "examples failed",
    "objective": 99.5,
    "requests": {"metric": "a_total", "of": 'b="c"', "bad": 'd="e"'},
    "minimum_bad": 5,
    "alerts": {"fast": "critical"},
}


def text_of(*entries: Any) -> str:
    return yaml.safe_dump({"objectives": list(entries)})


def test_the_rules_are_current() -> None:
    assert RULES.read_text() == rules_file(OBJECTIVES), "run `make slo`"


def test_every_limit_of_a_duration_is_a_bound_of_its_histogram() -> None:
    metrics: dict[str, Any] = {metric._name: metric for metric in REGISTRY._collector_to_names}  # type: ignore[attr-defined]
    for objective in OBJECTIVES:
        if objective.kind == "duration":
            assert objective.source["within"] in metrics[objective.source["metric"]]._upper_bounds


def test_what_alerts_and_dashboard_ask_for_is_recorded() -> None:
    rules = [rule for group in groups_of(OBJECTIVES) for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    windows = {window for pairs in BURNS.values() for burn in pairs for window in (burn.long, burn.short)}
    assert windows <= {*SHORT_WINDOWS, *LONG_WINDOWS}
    panels = [panel for panel in dashboard_of(OBJECTIVES)["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [rule["expr"] for rule in rules if "alert" in rule]
    assert set().union(*(parse_query(query).metrics for query in queries)) <= recorded
    asked = {matcher.value for query in queries for matcher in parse_query(query).matchers}
    assert asked == {objective.name for objective in OBJECTIVES}


def test_each_objective_has_its_row_which_turns_red_where_it_is_missed() -> None:
    panels = dashboard_of(OBJECTIVES)["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["All objectives", *(objective.title for objective in OBJECTIVES)]
    steps = {
        panel["title"]: [
            (step["value"], step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in panels
        if panel["type"] != "row"
    }
    availability = OBJECTIVES[0].title
    assert steps[f"{availability}: good in 30 days"] == [(None, "red"), (0.999, "green")]
    assert steps[f"{availability}: bad share"] == [(None, "green"), (0.001, "red")]
    assert steps[f"{availability}: error budget left"] == [(None, "red"), (0, "green")]


def test_a_good_objective_is_read() -> None:
    (found,) = read(text_of(GOOD))
    assert (found.alert, found.percent, str(found.allowed)) == ("SloAnExample", "99.5", "0.005")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"name": "Not right"}, "objective 1: `name` has to be words in small letters, joined by hyphens"),
        ({"title": None}, "an-example: the objective lacks `title`"),
        ({"period": "30d"}, "an-example: the objective has an unknown key `period`"),
        (
            {"objective": 100},
            "an-example: `objective` has to be a number of percent between 0 and 100, not 100",
        ),
        (
            {"objective": "high"},
            "an-example: `objective` has to be a number of percent between 0 and 100, not 'high'",
        ),
        ({"time": "up"}, "an-example: exactly one of requests, duration, time is needed, not 2"),
        ({"requests": None}, "an-example: exactly one of requests, duration, time is needed, not 0"),
        ({"requests": {"metric": "a_total", "of": ""}}, "an-example: `requests` lacks `bad`"),
        ({"requests": "a_total"}, "an-example: `requests` has to be a mapping"),
        ({"minimum_bad": None}, "an-example: `minimum_bad` has to be 1 or more, and is not for `time`"),
        (
            {"requests": None, "time": "up"},
            "an-example: `minimum_bad` has to be 1 or more, and is not for `time`",
        ),
        (
            {"alerts": {"fast": "page"}},
            "an-example: `alerts`: 'page' is not one of critical, error, warning, info",
        ),
        ({"alerts": {"soon": "error"}}, "an-example: `alerts` has an unknown key `soon`"),
        (
            {"objective": 90},
            "an-example: `alerts`: `fast` cannot fire, it would need 144% to be bad; leave it out",
        ),
        ({"notified_by": "pigeon"}, "an-example: `notified_by` can only be alertmanager"),
    ],
)
def test_a_mistake_has_one_line_that_says_where_and_what(change: dict[str, Any], line: str) -> None:
    entry = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(Wrong, match=f"^{re.escape(line)}$"):
        read(text_of(entry))


def test_a_name_is_used_once() -> None:
    with pytest.raises(Wrong, match=r"^an-example: two objectives have this name$"):
        read(text_of(GOOD, GOOD))


@pytest.mark.parametrize("text", ["", "objectives: []", "- 1", "objectives: [\n"])
def test_a_file_without_objectives_is_refused(text: str) -> None:
    with pytest.raises(Wrong, match=r"not YAML|needs one list"):
        read(text)


def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "slo.yml"
    file.write_text(text_of(GOOD | {"objective": 0}))
    monkeypatch.setattr(slo, "OBJECTIVES", file)
    before = RULES.read_text()
    with pytest.raises(SystemExit, match=r"^deploy/slo\.yml: an-example: `objective` has to be .*, not 0\.$"):
        slo.main()
    assert RULES.read_text() == before
