"""docker-compose.yml keeps the rules of the house; tests/compose runs it (`make stack-test`)."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import psycopg
import pytest
import yaml
from django.conf import settings
from psycopg.sql import SQL, Identifier

from local.services import WITHOUT_VALUES
from tests.compose_files import (
    COMPOSE,
    FILES,
    INTERPOLATION,
    OF_AMANI,
    ONE_SHOTS,
    PRODUCTION,
    ROOT,
    WITH_AMANIS_IMAGE,
    compose_program,
    prepare,
    services,
    with_defaults,
)

SERVICES = services()
LASTING = {name: service for name, service in SERVICES.items() if name not in ONE_SHOTS}
EXPECTED = {
    "app",
    "worker",
    "beat",
    "migrate",
    "secrets",
    "bank",
    "postgres",
    "redis",
    "prometheus",
    "alertmanager",
    "grafana",
    "jaeger",
    "node-exporter",
    "redis-exporter",
    "postgres-exporter",
    "edge",
}
PRODUCTION_SECRETS = sorted(prepare().GENERATED)


def test_the_services_are_those_of_the_documents() -> None:
    assert set(SERVICES) == EXPECTED
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {
        "node-exporter": ["exporters"],
        "redis-exporter": ["exporters"],
        "postgres-exporter": ["exporters"],
        "edge": ["edge"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_confined_and_limited(name: str) -> None:
    service = SERVICES[name]
    if name not in WITH_AMANIS_IMAGE:
        assert re.search(r":v?\d+\.\d+\.?\d*(-[a-z]+)?$", service["image"]), "a version, not a moving tag"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_is_restarted_stopped_in_time_and_has_a_number_for_its_user(name: str) -> None:
    service = LASTING[name]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    if name not in WITH_AMANIS_IMAGE:  # those run as the user of the Dockerfile
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
        assert "cap_add" not in service


def test_only_the_program_that_hands_out_files_has_capabilities() -> None:
    assert {name for name, service in SERVICES.items() if "cap_add" in service} == {"secrets"}
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_every_lasting_service_is_checked_where_something_in_its_image_can() -> None:
    by_image = {"app"}  # HEALTHCHECK in the Dockerfile
    impossible = {"redis-exporter"}  # an image with one program in it
    unchecked = {name for name, service in LASTING.items() if "healthcheck" not in service}
    assert unchecked == by_image | impossible


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_this_machines_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert with_defaults(port).startswith("127.0.0.1:")


def test_no_service_waits_for_grafana_or_jaeger() -> None:
    waited_for = {other for service in SERVICES.values() for other in service.get("depends_on", {})}
    assert not waited_for & {"grafana", "jaeger"}
    assert waited_for <= {"secrets", "migrate", "postgres", "redis", "app", "bank"}


def test_the_addresses_and_containers_are_those_of_the_runbook() -> None:
    published = {
        name: [with_defaults(port) for port in service["ports"]]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert published["app"] == ["127.0.0.1:8000:8000"]
    assert published["prometheus"] == ["127.0.0.1:9090:9090"]
    assert published["grafana"] == ["127.0.0.1:3000:3000"]
    assert published["jaeger"] == ["127.0.0.1:16686:16686"]
    assert SERVICES["app"]["container_name"] == "amani-backend"
    assert SERVICES["prometheus"]["container_name"] == "amani-prometheus"


def test_scaling_takes_the_name_and_the_single_port_away() -> None:
    text = (ROOT / "deploy" / "compose.scaled.yml").read_text()
    assert "container_name: !reset null" in text
    assert 'ports: !override ["${BIND_ADDRESS:-127.0.0.1}:${APP_PORTS:-8000-8009}:8000"]' in text


def test_amanis_services_share_an_image_and_no_metrics() -> None:
    assert len({SERVICES[name]["image"] for name in WITH_AMANIS_IMAGE}) == 1
    for name in ("app", "worker", "beat"):
        tmpfs = [mount.partition(":")[0] for mount in SERVICES[name]["tmpfs"]]
        assert SERVICES[name]["environment"]["PROMETHEUS_MULTIPROC_DIR"] in tmpfs
    assert SERVICES["worker"]["environment"]["METRICS_BIND"] == "0.0.0.0:9101"
    assert SERVICES["beat"]["environment"]["METRICS_BIND"] == "0.0.0.0:9101"


@pytest.mark.parametrize("name", PRODUCTION_SECRETS)
def test_production_has_no_default_for_a_secret(name: str) -> None:
    assert f"${{{name}:?" in PRODUCTION.read_text()
    assert f"${{{name}" not in COMPOSE.read_text()


def test_production_neither_seeds_nor_trusts_by_default() -> None:
    changed = services(PRODUCTION)
    assert "seed_demo" not in str(changed["migrate"]["command"])
    assert changed["secrets"]["environment"]["AMANI_MODE"] == "production"
    for name in ("app", "worker", "beat", "migrate"):
        environment = {key: with_defaults(str(value)) for key, value in changed[name]["environment"].items()}
        assert environment["STAFF_MFA_REQUIRED"] == "true"
        assert environment["METRICS_ALLOWED_NETWORKS"] == ""


def test_every_variable_of_the_compose_files_is_documented() -> None:
    used = {match[1] for file in FILES for match in INTERPOLATION.finditer(file.read_text())}
    documents = "".join(
        (ROOT / "docs" / f"{name}.md").read_text() for name in ("configuration", "deployment")
    )
    assert {name for name in used if f"`{name}`" not in documents} == set()


def test_what_compose_sets_for_amani_are_amanis_settings() -> None:
    own = {"WEB_BIND", "METRICS_BIND", "OTEL_EXPORTER_OTLP_ENDPOINT", *settings_names()}
    for name in ("app", "worker", "beat", "migrate"):
        for variable, value in SERVICES[name]["environment"].items():
            assert variable.removesuffix("_FILE") in own or value == ""


def test_only_migrate_knows_the_owner_of_the_tables() -> None:
    folders = {name: SERVICES[name]["volumes"][0]["volume"]["subpath"] for name in OF_AMANI - {"secrets"}}
    assert folders == {"app": "amani", "worker": "amani", "beat": "amani", "migrate": "migrate"}
    for name in folders:
        for hidden in ("POSTGRES_PASSWORD", "MIGRATE_DATABASE_URL"):
            assert SERVICES[name]["environment"][hidden] == "", "or .env would say it"
    for command in (SERVICES["migrate"]["command"], services(PRODUCTION)["migrate"]["command"]):
        assert command[2].startswith("python deploy/compose/roles.py /run/secrets && python manage.py")
    exporter = SERVICES["postgres-exporter"]["environment"]
    assert exporter["DATA_SOURCE_USER"] == compose_program("roles").EXPORTER_ROLE


def test_a_bank_plays_the_payment_provider_in_the_demo_and_is_no_part_of_production() -> None:
    bank = SERVICES["bank"]
    amani = SERVICES["worker"]["environment"]
    host = urlsplit(amani["PAYMENT_SANDBOX_URL"]).netloc
    assert (with_defaults(amani["PAYMENT_PROVIDER"]), host) == ("sandbox", "bank:8026")
    hosts = [with_defaults(word) for word in bank["command"] if word.startswith("--host=")]
    assert hosts == ["--host=localhost:8026", "--host=127.0.0.1:8026", f"--host={host}"]
    assert [with_defaults(port) for port in bank["ports"]] == ["127.0.0.1:8026:8026"]
    assert bank["env_file"] == [], "it needs none of Amani's secrets"
    changed = services(PRODUCTION)
    assert changed["bank"] == {"profiles": ["demo"]}
    assert SERVICES["migrate"]["depends_on"]["bank"]["required"] is False
    for name in ("app", "worker", "beat", "migrate"):
        environment = changed[name]["environment"]
        assert with_defaults(environment["PAYMENT_SANDBOX_IN_PRODUCTION"]) == "false"
        assert with_defaults(environment["PAYMENT_SANDBOX_URL"]) == ""


def test_the_log_of_postgresql_quotes_neither_rows_nor_statements() -> None:
    options = [option for option in SERVICES["postgres"]["command"][1:] if option != "-c"]
    by_roles = compose_program("roles").WITHOUT_ROWS.as_string(None)
    assert options == ["log_min_error_statement=panic"]
    assert "SET log_error_verbosity = 'terse'" in by_roles
    assert WITHOUT_VALUES == {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}


def test_links_go_where_a_browser_reaches_prometheus_and_alertmanager() -> None:
    for name in ("prometheus", "alertmanager"):
        (flag,) = (each for each in SERVICES[name]["command"] if each.startswith("--web.external-url="))
        external = flag.partition("=")[2]
        assert "localhost" in with_defaults(external)
        for service in OF_AMANI - {"secrets"}:
            assert SERVICES[service]["environment"][f"{name.upper()}_PUBLIC_URL"] == external


def settings_names() -> set[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return set(re.findall(r"^\| `([A-Z0-9_]+)` \|", text, re.MULTILINE))


COMMAND = re.compile(r"docker[ -]compose (exec|kill|logs|ps|restart|run|start|stop|up)\b([^`|#(\n]*)")
OPTION = re.compile(r" --?(?:since|until|tail|s|scale)[ =]\S+| -\S+")


def test_every_service_that_a_page_or_a_comment_names_exists() -> None:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.*ml")]
    found = set()
    for file in files:
        for command, rest in COMMAND.findall(file.read_text()):
            words = OPTION.sub("", rest).split()
            named = words[:1] if command in ("exec", "run") else words
            found |= {(file.name, name) for name in named}
    assert len(found) > 40
    assert {(file, name) for file, name in found if name not in SERVICES} == set()


# --- The image ---


def test_the_dockerfile_names_the_version_that_runs_and_a_number_for_its_user() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"ARG VERSION={settings.VERSION}\n" in text
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert "# syntax=" not in text
    assert len(set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))) == 1


def test_nothing_goes_into_the_image_that_is_not_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    named = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert not [name for name in named if not (ROOT / name).exists()]
    assert not [name for name in named if Path(name).parts[0] in {".env", ".git", ".run", "local", "tests"}]


# --- The program of the service `secrets` ---

GIVEN = {
    "AMANI_MODE": "production",
    **{name: f"{name.lower()}-0123456789abcdef" for name in PRODUCTION_SECRETS},
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/secret",
}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """`prepared(AMANI_MODE="demo", …)` is every file that was written, by its path."""
    owners: dict[str, int] = {}
    monkeypatch.setattr(os, "chown", lambda path, user, _group: owners.__setitem__(str(path), user))

    def run(**given: str) -> dict[str, str]:
        prepare().prepare(tmp_path, given)
        files = [file for file in sorted(tmp_path.rglob("*")) if file.is_file()]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o400}
        return {str(file.relative_to(tmp_path)): file.read_text() for file in files}

    return run


def test_the_demo_generates_its_secrets_once(prepared: Callable[..., dict[str, str]]) -> None:
    first, second = prepared(AMANI_MODE="demo"), prepared(AMANI_MODE="demo")
    assert first == second
    assert first["grafana/admin_password"] == "admin"
    password = first["postgres/password"]
    assert first["migrate/database_url"] == f"postgresql://amani:{password}@postgres:5432/amani"
    password = first["migrate/application_password"]
    assert first["amani/database_url"] == f"postgresql://amani_app:{password}@postgres:5432/amani"
    assert first["migrate/application_database_url"] == first["amani/database_url"]
    assert first["amani/database_application_role"] == "amani_app"
    assert len({first[f"amani/{name}"] for name in ("secret_key", "kyc_search_key", "metrics_token")}) == 3
    assert first["prometheus/metrics_token"] == first["amani/metrics_token"]
    assert first["postgres-exporter/password"] == first["migrate/exporter_password"] != password
    assert len(first["bank/key"]) > 32
    assert first["bank/key"] == first["amani/payment_sandbox_key"] == first["migrate/payment_sandbox_key"]
    assert "BEGIN CERTIFICATE" in first["edge/tls.crt"]


@pytest.mark.parametrize("name", PRODUCTION_SECRETS)
def test_production_generates_nothing_and_names_what_is_missing(
    prepared: Callable[..., dict[str, str]], name: str
) -> None:
    with pytest.raises(Exception, match=rf"^{name} is not set\. Set it in \.env"):
        prepared(**GIVEN | {name: ""})
    with pytest.raises(Exception, match=rf"^{name} is shorter than 16 characters"):
        prepared(**GIVEN | {name: "short"})


def test_in_production_the_given_secrets_arrive_where_they_are_read(
    prepared: Callable[..., dict[str, str]],
) -> None:
    files = prepared(**GIVEN | {"POSTGRES_PASSWORD": "p@ss/word:0123456789"})
    owner = "postgresql://amani:p%40ss%2Fword%3A0123456789@postgres:5432/amani"
    assert files["migrate/database_url"] == owner
    assert not [name for name, text in files.items() if name.startswith("amani/") and "p%40ss" in text]
    assert files["postgres/password"] == "p@ss/word:0123456789"
    assert files["alertmanager/secrets/slack_webhook_url"] == GIVEN["SLACK_WEBHOOK_URL"]
    assert "alertmanager/secrets/pagerduty_api_key" not in files
    assert not [name for name in files if name.startswith("generated/") or name.endswith("demo_password")]
    optional = ("payment_sandbox_key", "paystack_secret_key", "paystack_secret_key_previous")
    assert [files[f"amani/{name}"] for name in optional] == ["", "", ""], "the files are there, and empty"


@pytest.mark.parametrize("mode", ["demo", "production"])
def test_the_keys_of_paystack_are_files_that_amanis_processes_read(
    prepared: Callable[..., dict[str, str]], mode: str
) -> None:
    keys = {"PAYSTACK_SECRET_KEY": "sk_live_0123456789abcdef", "PAYSTACK_SECRET_KEY_PREVIOUS": "sk_live_old"}
    files = prepared(**GIVEN | {"AMANI_MODE": mode, "PAYMENT_PROVIDER": "paystack", **keys})
    passed_on = services(PRODUCTION)["secrets"]["environment"]
    for name, value in keys.items():
        assert passed_on[name] == f"${{{name}-}}"
        for service in ("app", "worker", "beat", "migrate"):
            mounted = SERVICES[service]["environment"][f"{name}_FILE"]
            folder = SERVICES[service]["volumes"][0]["volume"]["subpath"]
            assert files[mounted.replace("/run/secrets", folder)] == value


def test_production_with_paystack_names_its_key_when_it_is_missing(
    prepared: Callable[..., dict[str, str]],
) -> None:
    with pytest.raises(Exception, match=r"^PAYSTACK_SECRET_KEY is not set\. Set it in \.env"):
        prepared(**GIVEN | {"PAYMENT_PROVIDER": "paystack"})


def test_a_postgresql_of_ones_own_has_the_roles_that_its_operator_names(
    prepared: Callable[..., dict[str, str]],
) -> None:
    def given(**changes: str) -> tuple[str, ...]:
        files = prepared(**GIVEN | changes)
        names = ("amani/database_url", "migrate/database_url", "amani/database_application_role")
        made = ("migrate/application_password", "migrate/exporter_password")
        return (*(files[name] for name in names), *(files[name] for name in made))

    one, other = "postgresql://one@db/amani", "postgresql://other@db/amani"
    assert given(DATABASE_URL=one) == (one, one, "", "", "")
    split = given(DATABASE_URL=one, MIGRATE_DATABASE_URL=other, DATABASE_APPLICATION_ROLE="one")
    assert split == (one, other, "one", "", "")


@pytest.mark.skipif("APPLICATION_DATABASE_URL" not in os.environ, reason="DATABASE_URL is given")
def test_the_roles_that_own_nothing_are_made_and_get_their_passwords_anew() -> None:
    address = urlsplit(os.environ["DATABASE_URL"])
    superuser = address._replace(netloc=address.netloc.replace("amani:", "postgres:", 1)).geturl()
    program = compose_program("roles")

    def connect(role: str) -> psycopg.Connection[Any]:
        own = address._replace(netloc=f"{role}:second@{address.netloc.rpartition('@')[2]}")
        return psycopg.connect(own.geturl(), autocommit=True)

    with psycopg.connect(superuser) as session:
        session.execute("CREATE TABLE compose_table ()")
    for password in ("first", "second"):
        program.set_up_all(superuser, ("compose_app", password), ("compose_exporter", password))
    may = "SELECT rolsuper, rolcreaterole, pg_has_role('pg_monitor', 'MEMBER') FROM pg_roles"
    with connect("compose_app") as application, connect("compose_exporter") as exporter:
        for session, watches in ((application, False), (exporter, True)):
            [found] = session.execute(f"{may} WHERE rolname = current_user".encode()).fetchall()
            assert found == (False, False, watches)
        of_another = "SELECT query FROM pg_stat_activity WHERE usename = 'compose_app'"
        assert exporter.execute(of_another).fetchone() != ("<insufficient privilege>",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            exporter.execute("SELECT FROM compose_table")
    with psycopg.connect(superuser) as session:
        of_sessions = "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 0"
        assert session.execute(of_sessions).fetchall() == [(["log_error_verbosity=terse"],)]
        session.execute("DROP TABLE compose_table; DROP ROLE compose_app, compose_exporter")
        session.execute(SQL("ALTER DATABASE {} RESET ALL").format(Identifier(session.info.dbname)))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"AMANI_MODE": "produktion"}, "AMANI_MODE is 'produktion'; it must be demo or production."),
        ({"EDGE_STAFF_NETWORKS": "10.0.0.0/8,office"}, "EDGE_STAFF_NETWORKS: 'office' does not appear"),
        ({"EDGE_HTTPS_PORT": "https"}, "EDGE_HTTPS_PORT is 'https'; it must be a number."),
        ({"PROMETHEUS_PASSWORD": "ü" * 37}, "PROMETHEUS_PASSWORD is longer than 72 bytes"),
        ({"COMPOSE_PROFILES": "edge"}, "EDGE_TLS_FOLDER has no fullchain.pem and privkey.pem"),
    ],
)
def test_what_cannot_be_used_is_named(
    prepared: Callable[..., dict[str, str]], changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(Exception, match=f"^{re.escape(problem)}"):
        prepared(**GIVEN | changes)


def test_the_edge_lets_nobody_pass_who_is_not_named(prepared: Callable[..., dict[str, str]]) -> None:
    files = prepared(**GIVEN | {"EDGE_STAFF_NETWORKS": "10.0.0.0/8, 203.0.113.7"})
    assert files["edge/staff.conf"] == "allow 10.0.0.0/8;\nallow 203.0.113.7/32;\ndeny all;\n"
    assert files["edge/metrics.conf"] == files["edge/webhook.conf"] == "deny all;\n"


def test_the_edge_redirects_to_the_port_that_is_published(prepared: Callable[..., dict[str, str]]) -> None:
    published = SERVICES["secrets"]["environment"]["EDGE_HTTPS_PORT"]
    assert f"{published}:8443" in SERVICES["edge"]["ports"][1]
    demo = prepared(**GIVEN | {"EDGE_HTTPS_PORT": with_defaults(published)})
    assert demo["edge/redirect.conf"] == "return 308 https://$host:8443$request_uri;\n"
    usual = prepared(**GIVEN | {"EDGE_HTTPS_PORT": "443"})
    assert usual["edge/redirect.conf"] == "return 308 https://$host$request_uri;\n"


# --- Prometheus and Alertmanager ---


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("mode", ["demo", "production"])
def test_prometheus_asks_for_the_password_in_production_only(
    prepared: Callable[..., dict[str, str]], tmp_path: Path, binary: Callable[[str], str], mode: str
) -> None:
    password = "p@ss: word é-0123456789"
    files = prepared(**GIVEN | {"AMANI_MODE": mode, "PROMETHEUS_PASSWORD": password})
    users = yaml.safe_load(files["prometheus/web.yml"])["basic_auth_users"]
    assert list(users) == (["amani"] if mode == "production" else [])
    assert all(bcrypt.checkpw(password.encode(), each.encode()) for each in users.values())
    checked(binary("promtool"), "check", "web-config", tmp_path / "prometheus" / "web.yml")
    assert files["prometheus/password"] == files["amani/prometheus_password"] == password
    pair = base64.b64decode(files["prometheus/authorization"].removeprefix("Basic ")).decode()
    assert pair == f"amani:{password}"


def test_whoever_asks_prometheus_sends_the_password() -> None:
    prometheus = SERVICES["prometheus"]
    assert "--web.config.file=/run/secrets/web.yml" in prometheus["command"]
    assert "$$(cat /run/secrets/authorization)" in prometheus["healthcheck"]["test"][1]
    own: Any = yaml.safe_load((ROOT / "deploy/prometheus/compose/prometheus.yml").read_text())
    (itself,) = (job for job in own["scrape_configs"] if job["job_name"] == "prometheus")
    sent = {"username": "amani", "password_file": "/run/secrets/password"}
    assert itself["basic_auth"] == sent
    for name in OF_AMANI - {"secrets"}:
        environment = SERVICES[name]["environment"]
        assert environment["PROMETHEUS_USER"] == "amani"
        assert environment["PROMETHEUS_PASSWORD_FILE"] == "/run/secrets/prometheus_password"
    grafana = SERVICES["grafana"]["environment"] | services(PRODUCTION)["grafana"]["environment"]
    assert (grafana["PROMETHEUS_BASIC_AUTH"], grafana["PROMETHEUS_USER"]) == ("true", "amani")
    assert grafana["PROMETHEUS_PASSWORD"].startswith("${PROMETHEUS_PASSWORD:?")
    backup = tomllib.loads((ROOT / "deploy/backup/compose.toml").read_text())
    assert backup["prometheus"]["user"] == "amani"


def checked(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("amtool")
def test_alertmanager_has_the_shipped_routes(
    prepared: Callable[..., dict[str, str]], tmp_path: Path, binary: Callable[[str], str]
) -> None:
    made = prepared(**GIVEN | {"PAGERDUTY_EVENTS_URL": "https://events.eu.pagerduty.com/v2/enqueue"})
    text = made["alertmanager/alertmanager.yml"]
    shipped: Any = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    rendered: Any = yaml.safe_load(text)
    for section in ("route", "inhibit_rules"):
        assert rendered[section] == shipped[section]
    assert rendered["global"]["pagerduty_url"] == "https://events.eu.pagerduty.com/v2/enqueue"
    assert "localhost" not in text
    assert "http://app:8000/api/v1/alerts/webhook" in text
    checked(binary("amtool"), "check-config", tmp_path / "alertmanager" / "alertmanager.yml")


@pytest.mark.needs("promtool")
def test_prometheus_scrapes_the_same_jobs_as_the_shipped_file(binary: Callable[[str], str]) -> None:
    folder = ROOT / "deploy" / "prometheus"
    shipped: Any = yaml.safe_load((folder / "prometheus.yml").read_text())
    own_file = folder / "compose" / "prometheus.yml"
    own: Any = yaml.safe_load(own_file.read_text())
    assert own["global"] == shipped["global"]
    assert {job["job_name"] for job in own["scrape_configs"]} == {
        *(job["job_name"] for job in shipped["scrape_configs"]),
        "node",
        "redis",
        "postgresql",
    }
    looked_up = {
        name
        for job in own["scrape_configs"]
        for discovery in job.get("dns_sd_configs", [])
        for name in discovery["names"]
    }
    assert looked_up <= set(SERVICES)
    checked(binary("promtool"), "check", "config", "--syntax-only", own_file)


def test_amani_writes_the_rules_into_a_volume_that_prometheus_reads() -> None:
    own: Any = yaml.safe_load((ROOT / "deploy/prometheus/compose/prometheus.yml").read_text())
    assert own["rule_files"] == ["/etc/prometheus/rules/*.yml"]
    assert "rules:/etc/prometheus/rules:ro" in SERVICES["prometheus"]["volumes"]
    folder = SERVICES["worker"]["environment"]["ALERT_RULES_FOLDER"]
    for name in ("worker", "migrate"):
        assert {"type": "volume", "source": "rules", "target": folder} in SERVICES[name]["volumes"]
    for found in (SERVICES, services(PRODUCTION)):
        assert "alert_rules seed" in str(found["migrate"]["command"])


def test_the_volume_of_the_rules_belongs_to_amani(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, _group: owners.append((str(path), user)))
    assert SERVICES["secrets"]["command"][-1] == "/rules"
    assert "rules:/rules" in SERVICES["secrets"]["volumes"]
    prepare().give_to_amani(tmp_path)
    assert owners == [(str(tmp_path), 10001)]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_prometheus_mounts_its_folder_and_keeps_a_bounded_history() -> None:
    service = SERVICES["prometheus"]
    assert "./deploy/prometheus:/etc/prometheus/amani:ro" in service["volumes"]
    arguments = " ".join(service["command"])
    assert "--storage.tsdb.retention.time=" in arguments
    assert "--storage.tsdb.retention.size=" in arguments
    assert "--enable-feature=exemplar-storage" in arguments
    assert "--web.enable-lifecycle" in arguments  # with the password of web.yml, as the admin API
