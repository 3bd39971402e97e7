"""deploy/compose.production.yml, really run: two roles of PostgreSQL, given secrets, nothing of the demo."""

from __future__ import annotations

import pytest
import requests

from tests.compose.stack import Stack, run, until

# What `check --deploy` says about roles and payments when they are not as they should be.
WRONG = {"amani.W017", "amani.W018", "amani.W020", "amani.E011", "amani.E012", "amani.W019"}
VERSION_FILE = "/var/lib/postgresql/data/PG_VERSION"


@pytest.fixture(scope="module", autouse=True)
def _started(production: Stack) -> None:
    """Every test needs it."""


def checked(production: Stack) -> str:
    return production.manage("check", "--deploy", "--database", "default", check=False)


def test_every_process_connects_as_the_role_that_owns_nothing(production: Stack) -> None:
    assert production.roles() == "amani_app"
    said = checked(production)
    assert "amani.W007" in said, "EMAIL_HOST is not set, so it did check"
    assert not [warning for warning in WRONG if warning in said]


def test_there_is_no_bank_and_nothing_of_the_demo(production: Stack) -> None:
    assert "bank" not in production.compose("ps", "--all", "--services").split()
    assert (
        production.query("SELECT (SELECT count(*) FROM accounts_user) + count(*) FROM escrow_escrow") == "0"
    )
    until(is_ready, "web answers that it is ready")


def test_the_keys_of_paystack_are_files_in_every_process(production: Stack) -> None:
    for service in ("app", "worker", "beat"):
        program = (
            "from amani import settings as s; print(s.PAYSTACK_SECRET_KEY, s.PAYSTACK_SECRET_KEY_PREVIOUS)"
        )
        keys = production.compose("exec", "-T", service, "python", "-c", program)
        assert keys.split() == ["sk_test_of_the_stack_test", "sk_test_of_the_stack_test_before"]
        environment = production.compose("exec", "-T", service, "env")
        assert "sk_test_of_the_stack_test" not in environment


def test_prometheus_asks_for_its_password_and_reaches_everything(production: Stack) -> None:
    assert requests.get("http://localhost:9090/api/v1/targets", timeout=30).status_code == 401

    def up() -> set[str]:
        return {component or job for job, component, health in production.targets() if health == "up"}

    until(lambda: {"web", "worker", "beat", "postgresql"} <= up(), "all targets are up")
    until(lambda: production.prometheus("pg_up == 1"), "the exporter reaches PostgreSQL")
    assert (
        production.query("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'amani_exporter'") == "t"
    )


def test_a_schema_that_is_open_to_everyone_is_reported_and_closed_by_migrate(production: Stack) -> None:
    production.query("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert "amani.W020" in checked(production)
    production.compose("run", "--rm", "--no-deps", "migrate")
    assert "amani.W020" not in checked(production)


def test_a_volume_of_another_postgresql_names_both_versions_and_recovers(production: Stack) -> None:
    def pretend(version: str) -> None:
        production.compose("stop", "postgres")
        command = f"echo {version} > {VERSION_FILE}"
        production.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", "postgres", "-c", command)
        production.compose("start", "postgres", check=False)

    pretend("16")
    words = "initialized by PostgreSQL version 16, which is not compatible with this version 17"
    until(lambda: words in production.compose("logs", "postgres"), "PostgreSQL names both versions")
    health = requests.get("http://localhost:8000/api/v1/health", timeout=30).json()
    assert health["checks"]["database"]["status"] == "error"
    pretend("17")
    production.wait_until_healthy()
    until(is_ready, "Amani works again by itself")


def is_ready() -> bool:
    return requests.get("http://localhost:8000/api/v1/readiness", timeout=30).ok


def test_a_missing_key_of_paystack_is_one_clear_line_and_starts_nothing(production: Stack) -> None:
    without = Stack(production.files, (), **production.given | {"PAYSTACK_SECRET_KEY": ""})
    said = without.compose("run", "--rm", "--no-deps", "secrets", check=False)
    assert "PAYSTACK_SECRET_KEY is not set. Set it in .env; production has no default." in said
    assert run("docker", "ps", "--quiet", "--filter", "name=amani-backend")
