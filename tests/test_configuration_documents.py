"""`.env.example` and docs/configuration.md name exactly the variables that the code reads."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from amani import settings

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = {"HOST", "PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "INBOX_PORT", "BANK_PORT"}
READS_ENVIRONMENT = re.compile(r"""environ(?:\.get\(|\[)\s*"([A-Z0-9_]+)\"""")
# What the launcher itself sets for its children, and Django's own.
NOT_FOR_PEOPLE = {"AMANI_IGNORE_ENV_FILES", "DJANGO_SETTINGS_MODULE"}


def names_in_code() -> set[str]:
    gunicorn = (ROOT / "deploy" / "gunicorn.conf.py").read_text()
    return set(settings.env.dump()) | LAUNCHER | set(READS_ENVIRONMENT.findall(gunicorn)) - NOT_FOR_PEOPLE


def names_in_example() -> list[str]:
    return re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def names_in_document() -> list[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return re.findall(r"^\| `([A-Z0-9_]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("names", [names_in_example, names_in_document])
def test_every_variable_is_listed_once_and_no_other(names: Callable[[], list[str]]) -> None:
    listed = names()
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == names_in_code()


def test_the_example_holds_no_secret() -> None:
    document = (ROOT / "docs" / "configuration.md").read_text()
    secrets = set(re.findall(r"^\| `([A-Z0-9_]+)` \|.*\| yes \|$", document, re.MULTILINE))
    assert {
        "SECRET_KEY",
        "DATABASE_URL",
        "SLACK_WEBHOOK_URL",
        "PAGERDUTY_API_KEY",
        "METRICS_TOKEN",
    } <= secrets
    example = (ROOT / ".env.example").read_text()
    assert [name for name in secrets if re.search(rf"^{name}=.", example, re.MULTILINE)] == []
