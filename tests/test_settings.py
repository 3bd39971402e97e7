"""Settings as processes see them: each case is a `manage.py` of its own with a clean environment.

Their libraries are imported once (forked_manage.py); the first test starts its own as operators do.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from environs import ValidationError

from accounts.checks import mail_encryption
from amani.settings import hours_within_a_year, load_env_file, read_address
from observability.tests.waiting import ANSWER_SECONDS
from tests import forked_manage

ROOT = Path(__file__).resolve().parent.parent
SECRETS = {
    "SECRET_KEY": "k" * 20 + "0123456789abcdefghijklmnopqrstuvwxyzABCD",
    "ENCRYPTION_KEYS": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
    "KYC_SEARCH_KEY": "s" * 43,
    "DATABASE_URL": "postgresql://amani:secret@127.0.0.1:1/amani",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "ALERT_WEBHOOK_TOKEN": "a-token-that-is-long-enough",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/secret",
    "PAGERDUTY_API_KEY": "R0123456789ABCDEFGHIJKLMNOPQRSTU",
    "PROMETHEUS_MULTIPROC_DIR": "/dev/shm/amani-metrics",
    "METRICS_TOKEN": "a-token-of-prometheus-0123456789",
    "PAYSTACK_SECRET_KEY": "sk_live_0123456789abcdef",
    "SENTRY_DSN": "https://0123456789abcdef@errors.invalid/1",
}


def production_example() -> dict[str, str]:
    """`.env.example` with its secrets filled in, and a collector that takes traces."""
    lines = re.findall(r"^([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return {name: value for name, value in lines if value} | SECRETS | {"TRACING_ENABLED": "true"}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "AMANI_IGNORE_ENV_FILES": "1"}
    return forked_manage.manage(*arguments, environment=clean | environment, seconds=ANSWER_SECONDS)


def check_deploy(**changes: str) -> str:
    environment = {name: value for name, value in (production_example() | changes).items() if value}
    return manage("check", "--deploy", "--fail-level", "WARNING", **environment).stderr


def test_check_deploy_is_clean_with_the_production_example() -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AMANI_IGNORE_ENV_FILES": "1"} | production_example(),
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (
        0,
        "System check identified no issues (0 silenced).",
    )


def test_check_deploy_names_the_variable_that_allows_the_sandbox_in_production() -> None:
    refused = check_deploy(PAYMENT_PROVIDER="sandbox")
    assert "amani.E012" in refused
    assert "PAYMENT_SANDBOX_IN_PRODUCTION=true" in refused
    assert "amani.W019" in check_deploy(PAYMENT_PROVIDER="sandbox", PAYMENT_SANDBOX_IN_PRODUCTION="true")
    assert "amani.E011" in check_deploy(PAYSTACK_SECRET_KEY="")


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ENCRYPTION_KEYS", "KYC_SEARCH_KEY"]
)
def test_production_refuses_to_start_and_names_what_is_missing(name: str) -> None:
    environment = {key: value for key, value in production_example().items() if key != name}
    result = manage("check", **environment)
    assert result.returncode != 0
    assert f"{name} is not set. Set {name} (or {name}_FILE)" in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "shortest"),
    [
        ("SECRET_KEY", "k" * 31, 32),
        ("SECRET_KEY_FALLBACKS", f"{'k' * 40},short", 32),
        ("ALERT_WEBHOOK_TOKEN", "t" * 15, 16),
        ("ALERT_WEBHOOK_TOKEN_PREVIOUS", "t" * 15, 16),
        ("METRICS_TOKEN", "t" * 15, 16),
        ("PAYMENT_SANDBOX_KEY", "t" * 15, 16),
    ],
)
def test_production_refuses_to_start_and_names_what_could_be_guessed(
    name: str, value: str, shortest: int
) -> None:
    result = manage("check", **production_example() | {name: value})
    assert result.returncode != 0
    assert f"{name} is shorter than {shortest} characters" in result.stderr
    assert value not in result.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [("", None), ("0.0.0.0:9101", ("0.0.0.0", 9101)), ("[::1]:80", ("::1", 80))],  # noqa: S104
)
def test_the_address_of_own_metrics_is_read(text: str, address: tuple[str, int] | None) -> None:
    assert read_address("METRICS_BIND", text) == address


@pytest.mark.parametrize(
    "text", ["9101", ":9101", "localhost:9101", "::1:9101", "[127.0.0.1]:9101", "0.0.0.0:0", "0.0.0.0:65536"]
)
def test_what_is_no_address_of_own_metrics_is_refused_by_name(text: str) -> None:
    with pytest.raises(Exception, match=r"METRICS_BIND: .* is not an address and a port"):
        read_address("METRICS_BIND", text)


def test_the_address_of_own_metrics_needs_the_folder_that_is_served_there() -> None:
    changes = {"METRICS_BIND": "127.0.0.1:9101", "PROMETHEUS_MULTIPROC_DIR": ""}
    result = manage("check", **production_example() | changes)
    assert "METRICS_BIND serves the metrics of PROMETHEUS_MULTIPROC_DIR" in result.stderr


def test_rules_are_published_in_one_place() -> None:
    changes = {"ALERT_RULES_FOLDER": "/srv/rules", "ALERT_RULES_TOKEN": "a-token-of-the-sidecar"}
    result = manage("check", **production_example() | changes)
    assert "Set ALERT_RULES_FOLDER or ALERT_RULES_TOKEN, not both" in result.stderr


# Changes and what is said of them. Those of one group do not touch each other: one process checks them.
WOULD_HURT = [
    [
        ({"ALERT_WEBHOOK_TOKEN": ""}, "amani.E001"),
        ({"SLACK_WEBHOOK_URL": "", "PAGERDUTY_API_KEY": ""}, "amani.E004"),
        ({"METRICS_ALLOWED_NETWORKS": "0.0.0.0/0"}, "amani.E005"),
        ({"PUBLIC_URL": "http://amani.example.com"}, "amani.W002"),
        ({"EMAIL_HOST": ""}, "amani.W007"),
        ({"STAFF_MFA_REQUIRED": "false"}, "amani.W008"),
        ({"PROMETHEUS_MULTIPROC_DIR": ""}, "amani.W003"),
        ({"SENTRY_DSN": ""}, "amani.W005"),
        ({"TRACING_ENABLED": "false"}, "amani.W006"),
        ({"WATCHDOG_TIMEOUT_SECONDS": "600"}, "amani.W013"),
    ],
    [
        ({"KYC_SEARCH_KEY": "s" * 31}, "kyc.E002"),
        ({"SLACK_WEBHOOK_URL": ""}, "amani.W001"),
        ({"METRICS_TOKEN": ""}, "amani.W016"),
        ({"TRUST_PROXY_SCHEME": "false"}, "amani.W009"),
        ({"EMAIL_USE_SSL": "true"}, "accounts.E001"),
        ({"SENTRY_DSN": "0123456789abcdef"}, "amani.E006"),
        ({"TRACING_EXPORTER": "otlp"}, "amani.E007"),
        ({"WATCHDOG_FIRST_TIMEOUT_SECONDS": "0"}, "amani.W014"),
        ({"DATABASE_APPLICATION_ROLE": ""}, "amani.W017"),
    ],
    [
        ({"ALERT_ROUTES": "critical=slack+pigeon"}, "amani.E003"),
        ({"SLACK_WEBHOOK_URL": "http://hooks.slack.com/services/x"}, "amani.W004"),
        ({"EMAIL_PORT": "465"}, "accounts.E002"),
        ({"KYC_PROVIDER": "smile_id", "SMILE_ID_PARTNER_ID": "0042"}, "amani.E008"),
    ],
    [({"EMAIL_USE_TLS": "false", "EMAIL_USE_SSL": "true"}, "accounts.E003")],
    [({"EMAIL_USE_TLS": "false", "EMAIL_HOST_USER": "amani"}, "accounts.E004")],
    [({"EMAIL_USE_TLS": "false"}, "accounts.W001")],
    [({"DEBUG": "true"}, "security.W018")],
]


@pytest.mark.parametrize("group", WOULD_HURT, ids=lambda group: group[0][1])
def test_what_would_hurt_later_is_said_by_check_deploy(group: list[tuple[dict[str, str], str]]) -> None:
    changes = {name: value for change, _ in group for name, value in change.items()}
    assert len(changes) == sum(len(change) for change, _ in group), "two changes of one variable"
    said = check_deploy(**changes)
    assert [identifier for _, identifier in group if identifier not in said] == [], said


def test_in_production_nobody_reads_the_metrics_by_default() -> None:
    shown = "from django.conf import settings as s; print(s.METRICS_ALLOWED_NETWORKS)"
    environment = {k: v for k, v in production_example().items() if k != "METRICS_ALLOWED_NETWORKS"}
    assert manage("shell", "-c", shown, **environment).stdout.split()[-1] == "[]"


def test_implicit_tls_is_one_setting_and_the_port_follows() -> None:
    named = ("EMAIL_USE_TLS", "EMAIL_PORT", "EMAIL_USE_SSL")
    environment = {name: value for name, value in production_example().items() if name not in named}
    shown = "from django.conf import settings as s; print(s.EMAIL_USE_SSL, s.EMAIL_USE_TLS, s.EMAIL_PORT)"
    for change, expected in (({}, "False True 587"), ({"EMAIL_USE_SSL": "true"}, "True False 465")):
        result = manage("shell", "-c", shown, **environment | change)
        assert result.stdout.strip().endswith(expected)
    checked = manage(
        "check", "--deploy", "--fail-level", "WARNING", **environment | {"EMAIL_USE_SSL": "true"}
    )
    assert (checked.returncode, checked.stdout.strip()) == (
        0,
        "System check identified no issues (0 silenced).",
    )


def test_in_development_a_mail_server_may_want_a_password_in_clear(settings: Any) -> None:
    settings.EMAIL_HOST, settings.EMAIL_HOST_USER = "127.0.0.1", "amani"
    settings.EMAIL_PORT, settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = 1025, False, False
    settings.DEBUG = True
    assert list(mail_encryption(None)) == []
    settings.DEBUG = False
    assert [message.id for message in mail_encryption(None)] == ["accounts.E004"]


@pytest.mark.parametrize(
    "name", ["OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
)
def test_a_collector_may_be_named_by_us_or_by_opentelemetry(name: str) -> None:
    assert "amani.E007" not in check_deploy(TRACING_EXPORTER="otlp", **{name: "https://otlp.example:4318"})


def test_secret_is_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRETS["SECRET_KEY"] + "\n")
    environment = production_example() | {"SECRET_KEY_FILE": str(secret)}
    del environment["SECRET_KEY"]
    result = manage(
        "shell", "-c", "from django.conf import settings; print(settings.SECRET_KEY)", **environment
    )
    assert result.stdout.strip().endswith(SECRETS["SECRET_KEY"])


@pytest.mark.parametrize("routes", ["critical", "fatal=slack"])
def test_odd_route_is_refused_with_what_was_expected(routes: str) -> None:
    result = manage("check", **(production_example() | {"ALERT_ROUTES": routes}))
    assert f"ALERT_ROUTES: {routes!r} is not severity=channel+channel" in result.stderr


@pytest.mark.parametrize("given", ["blocker", "blocker=urgent", "=critical", "blocker=", "-=info"])
def test_odd_severity_map_is_refused_with_what_was_expected(given: str) -> None:
    result = manage("check", **(production_example() | {"ALERT_SEVERITY_MAP": f"meh=info,{given}"}))
    assert result.returncode != 0
    assert (
        f"ALERT_SEVERITY_MAP: {given!r} is not name=severity with a severity of ('critical'" in result.stderr
    )


def test_severity_map_cannot_change_what_the_four_mean() -> None:
    result = manage("check", **(production_example() | {"ALERT_SEVERITY_MAP": "Critical=info"}))
    assert result.returncode != 0
    assert "ALERT_SEVERITY_MAP: 'Critical=info' would change the meaning of 'critical'" in result.stderr


def test_severity_map_and_orders_of_annotations_are_read() -> None:
    given = {
        "ALERT_SEVERITY_MAP": " Block-er = Critical ,meh=info,",
        "ALERT_SUMMARY_ANNOTATIONS": "headline, message",
        "ALERT_RUNBOOK_ANNOTATIONS": "runbook,runbook_url",
    }
    shown = (
        "from django.conf import settings as s; print(s.ALERT_SEVERITY_MAP, s.ALERT_SUMMARY_ANNOTATIONS, "
        "s.ALERT_DESCRIPTION_ANNOTATIONS, s.ALERT_RUNBOOK_ANNOTATIONS)"
    )
    result = manage("shell", "-c", shown, **(production_example() | given))
    assert result.stdout.strip().endswith(
        "{'blocker': 'critical', 'meh': 'info'} ('headline', 'message', 'summary') "
        "('description', 'message') ('runbook', 'runbook_url')"
    )


def test_odd_database_address_is_refused_with_what_was_expected() -> None:
    result = manage("check", **(production_example() | {"DATABASE_URL": "sqlite:///x"}))
    assert "must be postgresql://user:password@host:port/name" in result.stderr


def test_first_file_that_names_a_variable_wins_and_an_empty_one_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("AMANI_TEST_A=first\nAMANI_TEST_B=\n")
    (tmp_path / "two").write_text("AMANI_TEST_A=second\nAMANI_TEST_B=second\nAMANI_TEST_C=second\n")
    monkeypatch.setenv("AMANI_TEST_C", "process")
    for name in ("AMANI_TEST_A", "AMANI_TEST_B"):
        monkeypatch.delenv(name, raising=False)
    for file in ("one", "two", "absent"):
        load_env_file(tmp_path / file)
    found = {name: os.environ[f"AMANI_TEST_{name}"] for name in "ABC"}
    for name in ("AMANI_TEST_A", "AMANI_TEST_B"):
        monkeypatch.delenv(name)
    assert found == {"A": "first", "B": "second", "C": "process"}


def test_each_check_has_an_id_of_its_own() -> None:
    """Operators silence a check by its id (SILENCED_SYSTEM_CHECKS), which must not silence another one."""
    apps = ("core", "observability", "accounts", "kyc", "escrow", "amani")
    source = "".join(path.read_text() for app in apps for path in sorted((ROOT / app).rglob("*.py")))
    ids = re.findall(r'\bid="(\w+\.[EWC]\d{3})"', source)
    assert len(ids) > 20
    assert [name for name, times in Counter(ids).items() if times > 1] == []


@pytest.mark.parametrize("hours", [[0.0], [1.0, -24.0], [9000.0]])
def test_hours_that_make_no_sense_are_refused(hours: list[float]) -> None:
    hours_within_a_year([1.0, 24.0, 72.0])
    with pytest.raises(ValidationError):
        hours_within_a_year(hours)
