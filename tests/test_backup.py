"""What deploy/backup saves is restored as it was: from real PostgreSQL, Prometheus and Alertmanager."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import bcrypt
import psycopg
import pytest
import requests
import yaml
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection

from amani.demo import seed_demo
from kyc.documents import cleaning
from local import monitoring, placement
from local.children import Program
from local.ports import find_free_port
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.fake_grafana import PASSWORD, FakeGrafana

ROOT = Path(django_settings.BASE_DIR)
# PostgreSQL writes the casts of a list in another place when it has read its own text once.
CASTS = re.compile(r"::[a-z ]+(?:\[\])?|[()]")
RESTORED = "restored_from_backup"
USER = "amani"
RIGHTS = """
SELECT has_table_privilege(%s, 'ledger_entry', 'INSERT'), has_function_privilege(%s, oid, 'EXECUTE')
FROM pg_proc WHERE proname = 'ledger_post'
"""
# Every row of a table as text, and what guards the rows.
GUARDS = """
SELECT conrelid::regclass || ': ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT sequencename || ' ' || coalesce(last_value, 0) FROM pg_sequences WHERE schemaname = 'public'
UNION SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def database_url(name: str) -> str:
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def programs() -> list[str]:
    """The prefix that finds pg_dump, pg_restore and psql of the private PostgreSQL."""
    return ["env", f"PATH={placement.programs(placement.unprivileged_user())}:{os.environ['PATH']}"]


class Backups:
    """Runs deploy/backup as an operator does: with another Python, without Amani's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "backups"
        self.configuration = folder / "configuration.toml"

    def configure(self, **sections: dict[str, Any]) -> None:
        lines = []
        for name, settings in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.configuration.write_text("\n".join(lines))

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "-E", "deploy/backup", *map(str, arguments)]
        clean = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)

    def save(self, *options: str, **environment: str) -> Path:
        done = self.run("save", self.configuration, self.folder, *options, **environment)
        assert done.returncode == 0, done.stderr
        return self.all()[-1]

    def restore(self, backup: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("restore", self.configuration, backup, *options, **environment)

    def all(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(tmp_path)


# --- PostgreSQL and the documents ---


def contents(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as database:
        tables = [
            row[0] for row in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        found: dict[str, list[str]] = {}
        for table in sorted(tables):
            every_row = psycopg.sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(
                psycopg.sql.Identifier(table)
            )
            found[table] = [row[0] for row in database.execute(every_row)]
        found["guards"] = sorted(CASTS.sub("", row[0]) for row in database.execute(GUARDS))
        return found


@pytest.fixture
def empty_database() -> Iterator[str]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {RESTORED}")
        server.execute(f"CREATE DATABASE {RESTORED}")
        yield database_url(RESTORED)
        server.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)")


@pytest.fixture
def filled(transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test's database, with the demo's rows and documents; returns its address."""
    settings.DEBUG = True
    storage = {**settings.STORAGES["kyc"], "OPTIONS": {"location": tmp_path / "kyc"}}
    settings.STORAGES = {**settings.STORAGES, "kyc": storage}
    monkeypatch.setattr(
        cleaning, "remake", cache(cleaning.remake)
    )  # the demo has the same pictures again and again
    seed_demo(email="demo@amani.local", password="a password of mine")
    return database_url(str(connection.settings_dict["NAME"]))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_row_and_document_is_restored_with_what_guards_it(
    backups: Backups, filled: str, empty_database: str, tmp_path: Path
) -> None:
    backups.configure(postgresql={"run": programs()}, kyc={"folder": str(tmp_path / "kyc")})
    backup = backups.save(DATABASE_URL=filled)
    backups.configure(postgresql={"run": programs()}, kyc={"folder": str(tmp_path / "restored")})
    done = backups.restore(backup, DATABASE_URL=empty_database)
    assert done.returncode == 0, done.stderr
    before = contents(filled)
    assert contents(empty_database) == before
    assert len(before["observability_episode"]) == 17
    assert files(tmp_path / "restored") == files(tmp_path / "kyc") != {}
    with (
        psycopg.connect(empty_database) as restored,
        pytest.raises(psycopg.DatabaseError, match="kyc_limitrule"),
    ):
        restored.execute("UPDATE kyc_limitrule SET amount_minor = 0")

    assert rights_after_migrate(RESTORED) == (False, True)

    # A second restore would overwrite: it is refused, and forced it replaces what was changed meanwhile.
    with psycopg.connect(empty_database) as restored:
        restored.execute("CREATE TABLE of_a_newer_version (id int)")
        restored.execute("UPDATE accounts_user SET full_name = 'changed'")
    changed = contents(empty_database)
    refused = backups.restore(backup, DATABASE_URL=empty_database)
    assert refused.returncode == 1
    assert "postgresql: the database has" in refused.stderr
    assert f"kyc: {tmp_path / 'restored'} is not empty" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert contents(empty_database) == changed
    forced = backups.restore(backup, "--force", DATABASE_URL=empty_database)
    assert forced.returncode == 0, forced.stderr
    assert contents(empty_database) == before


def rights_after_migrate(database: str) -> tuple[bool, bool]:
    """Whether the application may write the ledger, and post: a restored database has no grants."""
    role, usual = str(django_settings.DATABASE_APPLICATION_ROLE), connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        with connection.cursor() as cursor:
            call_command("migrate", verbosity=0)
            cursor.execute(RIGHTS, [role, role])
            writes, posts = cursor.fetchone()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual
    return writes, posts


@pytest.mark.parametrize(
    ("address", "shown", "password"),
    [
        (
            "postgresql://amani:p%40s@db1,db2:5433/amani?a=b",
            "postgresql://amani@db1,db2:5433/amani?a=b",
            "p@s",
        ),
        ("postgresql://amani:@db/amani", "postgresql://amani@db/amani", ""),
        ("postgresql://amani@/amani?host=/run", "postgresql://amani@/amani?host=/run", None),
        ("user=amani dbname=amani", "user=amani dbname=amani", None),
    ],
)
def test_no_command_line_shows_the_password(
    monkeypatch: pytest.MonkeyPatch, address: str, shown: str, password: str | None
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    found, environment = program(monkeypatch, "postgresql").without_password(address)
    assert (found, environment.get("PGPASSWORD")) == (shown, password)


@pytest.mark.parametrize("address", ["postgresql://db/amani?password=secret", "dbname=a password = secret"])
def test_a_password_that_a_command_line_would_show_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    module = program(monkeypatch, "postgresql")
    with pytest.raises(Exception, match="PGPASSFILE") as refusal:
        module.without_password(address)
    assert "secret" not in str(refusal.value)


def program(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """A module of deploy/backup, as its own program imports it."""
    monkeypatch.syspath_prepend(ROOT / "deploy" / "backup")
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'CREATE TABLE half (id int);'; echo 'pg_restore: error: it broke' >&2; exit 1", "it broke"),
        ("echo 'CREATE TABLE half (id int);'; echo 'SELECT 1/0;'", "division by zero"),
    ],
    ids=["while it reads", "while it writes"],
)
def test_a_restore_that_breaks_off_changes_nothing(
    backups: Backups, empty_database: str, tmp_path: Path, script: str, said: str
) -> None:
    with psycopg.connect(empty_database) as database:
        database.execute("CREATE TABLE here AS SELECT 1 AS id")
    backups.configure(postgresql={"run": programs()})
    backup = backups.save(DATABASE_URL=empty_database)
    broken = tmp_path / "programs"
    broken.mkdir()
    (broken / "pg_restore").write_text(f"#!/bin/sh\n{script}\n")
    (broken / "pg_restore").chmod(0o755)
    backups.configure(postgresql={"run": ["env", programs()[1].replace("PATH=", f"PATH={broken}:")]})
    done = backups.restore(backup, "--force", DATABASE_URL=empty_database)
    assert done.returncode == 1
    assert said in done.stderr
    assert contents(empty_database) == {"here": ["(1)"], "guards": []}


# --- Alertmanager, Prometheus, Grafana ---


class Monitor:
    """A Prometheus that scrapes itself and asks for a password, or an Alertmanager.

    It keeps its data over a restart.
    """

    def __init__(self, name: str, folder: Path) -> None:
        found = monitoring.find_program(name)
        assert found is not None
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        port = find_free_port()
        self.url = f"http://127.0.0.1:{port}"
        if name == "prometheus":
            target = {
                "job_name": "prometheus",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                "basic_auth": {"username": USER, "password": PASSWORD},
            }
            hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
            (folder / "web.yml").write_text(yaml.safe_dump({"basic_auth_users": {USER: hashed}}))
            configuration: dict[str, Any] = {"global": {"scrape_interval": "1s"}, "scrape_configs": [target]}
            options = [f"--storage.tsdb.path={self.data}", "--web.enable-admin-api"]
            options += ["--web.config.file=web.yml"]
        else:
            configuration = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
            options = [f"--storage.path={self.data}", "--cluster.listen-address="]
        (folder / f"{name}.yml").write_text(yaml.safe_dump(configuration))
        command = [found, f"--config.file={name}.yml", f"--web.listen-address=127.0.0.1:{port}", *options]
        self.output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        environment = monitoring.environment()
        self.program = Program(name, command, output=self.output, environment=environment, folder=folder)

    def start(self) -> None:
        self.program.start()
        assert wait_until(self.is_ready)

    def stop(self) -> None:
        self.program.stop()

    def is_ready(self) -> bool:
        try:
            return self.ask("/-/ready").status_code == 200
        except requests.RequestException:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        return self.ask(path, **parameters).json()

    def ask(self, path: str, **parameters: str) -> requests.Response:
        address = self.url + path
        return requests.get(address, params=parameters, timeout=ANSWER_SECONDS, auth=(USER, PASSWORD))


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Callable[[str], Monitor]]:
    """`monitor("prometheus")` is a new one, not started."""
    made: list[Monitor] = []

    def make(name: str) -> Monitor:
        made.append(Monitor(name, tmp_path / f"{name}-{len(made)}"))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        os.close(one.output)


def silence(comment: str, start: timedelta, end: timedelta, **change: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    matcher = {"name": "alertname", "value": "Disk.*", "isRegex": True, "isEqual": False}
    return {
        "matchers": [matcher],
        "startsAt": (now + start).isoformat(),
        "endsAt": (now + end).isoformat(),
        "createdBy": "dede",
        "comment": comment,
        **change,
    }


def silences(alertmanager: Monitor) -> list[dict[str, Any]]:
    """Without what a restored silence has anew, in a fixed order."""
    kept = ("matchers", "endsAt", "createdBy", "comment", "status")
    found = [{name: one[name] for name in kept} for one in alertmanager.get("/api/v2/silences")]
    return sorted(
        (one for one in found if one["status"]["state"] != "expired"), key=lambda one: one["comment"]
    )


@pytest.mark.needs("alertmanager")
def test_silences_are_restored_once(backups: Backups, monitor: Callable[[str], Monitor]) -> None:
    old, new = monitor("alertmanager"), monitor("alertmanager")
    hour = timedelta(hours=1)
    old.start()
    for one in (
        silence('an active "one"', timedelta(), hour),
        silence("one to come", hour, 2 * hour),
        silence("ended", timedelta(), hour),
    ):
        answer = requests.post(f"{old.url}/api/v2/silences", json=one, timeout=ANSWER_SECONDS)
        assert answer.status_code == 200, answer.text
        if one["comment"] == "ended":
            ended = f"{old.url}/api/v2/silence/{answer.json()['silenceID']}"
            assert requests.delete(ended, timeout=ANSWER_SECONDS).status_code == 200
    backups.configure(alertmanager={"url": old.url})
    backup = backups.save()
    new.start()
    backups.configure(alertmanager={"url": new.url})
    assert "2 silences made, 0 were there, 0 had ended" in backups.restore(backup).stdout
    assert silences(new) == silences(old)
    assert [one["status"]["state"] for one in silences(new)] == ["active", "pending"]
    assert "0 silences made, 2 were there, 0 had ended" in backups.restore(backup).stdout
    assert silences(new) == silences(old)


@pytest.mark.needs("prometheus")
def test_samples_of_prometheus_are_restored(backups: Backups, monitor: Callable[[str], Monitor]) -> None:
    old, new = monitor("prometheus"), monitor("prometheus")
    old.start()
    query = {"query": 'prometheus_build_info{job="prometheus"}[1h]'}

    def samples(of: Monitor) -> list[Any]:
        found: list[Any] = of.get("/api/v1/query", **query)["data"]["result"]
        return found[0]["values"] if found else []

    assert wait_until(lambda: len(samples(old)) >= 2)
    before = samples(old)
    backups.configure(prometheus={"url": old.url, "user": USER, "folder": str(old.data)})
    backup = backups.save(PROMETHEUS_PASSWORD=PASSWORD)
    assert list((old.data / "snapshots").iterdir()) == []
    running = backups.restore(backup, PROMETHEUS_PASSWORD="another")
    assert (running.returncode, "Prometheus is running: stop it" in running.stderr) == (1, True)

    backups.configure(prometheus={"url": new.url, "user": USER, "folder": str(new.data)})
    done = backups.restore(backup, PROMETHEUS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert "is not empty" in backups.restore(backup, PROMETHEUS_PASSWORD=PASSWORD).stderr
    new.start()
    assert samples(new)[: len(before)] == before


@pytest.fixture
def grafana() -> Iterator[Callable[[], FakeGrafana]]:
    made: list[FakeGrafana] = []

    def make() -> FakeGrafana:
        made.append(FakeGrafana())
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_dashboards_made_in_grafana_are_restored(
    backups: Backups, grafana: Callable[[], FakeGrafana], tmp_path: Path
) -> None:
    old, new = grafana(), grafana()
    old.folders = {
        "inner": {"uid": "inner", "title": "Inner", "parentUid": "outer"},
        "outer": {"uid": "outer", "title": "Outer", "parentUid": ""},
    }
    old.dashboards = {
        "mine": {"dashboard": {"uid": "mine", "id": 7, "title": "Mine"}, "meta": {"folderUid": "inner"}},
        "shipped": {"dashboard": {"uid": "shipped", "id": 8}, "meta": {"provisioned": True}},
    }
    password = tmp_path / "password"
    password.write_text("not the password")
    backups.configure(grafana={"url": old.url, "user": "admin"})
    refused = backups.run("save", backups.configuration, backups.folder, GRAFANA_PASSWORD_FILE=str(password))
    assert (refused.returncode, backups.all()) == (1, [])
    assert "answered 401" in refused.stderr
    assert "not the password" not in refused.stderr
    password.write_text(PASSWORD)
    backup = backups.save(GRAFANA_PASSWORD_FILE=str(password))
    backups.configure(grafana={"url": new.url, "user": "admin"})
    done = backups.restore(backup, GRAFANA_PASSWORD=PASSWORD)
    assert "1 dashboards and 2 folders made" in done.stdout
    assert new.folders == old.folders
    assert new.dashboards == {
        "mine": {"dashboard": {"uid": "mine", "id": None, "title": "Mine"}, "meta": {"folderUid": "inner"}}
    }
    new.dashboards["mine"]["dashboard"]["title"] = "changed"
    again = backups.restore(backup, GRAFANA_PASSWORD=PASSWORD)
    assert "Grafana has the dashboards mine" in again.stderr
    assert new.dashboards["mine"]["dashboard"]["title"] == "changed"
    assert backups.restore(backup, "--force", GRAFANA_PASSWORD=PASSWORD).returncode == 0
    assert new.dashboards["mine"]["dashboard"]["title"] == "Mine"


# --- the folder of a backup ---


@pytest.fixture
def documents(backups: Backups, tmp_path: Path) -> Path:
    """A folder of documents, and a configuration that saves it alone."""
    folder = tmp_path / "kyc"
    (folder / "2026/05").mkdir(parents=True)
    (folder / "2026/05/a.key").write_bytes(b"encrypted")
    backups.configure(kyc={"folder": str(folder)})
    return folder


def test_a_backup_is_closed_to_others_and_names_what_is_not_in_it(backups: Backups, documents: Path) -> None:
    backup = backups.save()
    manifest = json.loads((backup / "manifest.json").read_text())
    assert (manifest["format"], manifest["amani"]) == (1, django_settings.VERSION)
    assert manifest["parts"]["kyc"]["files"] == 1
    assert set(manifest["kept_elsewhere"]) == {"ENCRYPTION_KEYS", "KYC_SEARCH_KEY", "SECRET_KEY"}
    assert {path.stat().st_mode & 0o077 for path in (backup, *backup.iterdir())} == {0}
    with tarfile.open(backup / "kyc.tar") as archive:
        assert "./2026/05/a.key" in archive.getnames()
    assert backups.run("verify", backup).returncode == 0


@pytest.mark.parametrize("name", ["kyc.tar", "manifest.json"])
def test_a_damaged_backup_restores_nothing(
    backups: Backups, documents: Path, tmp_path: Path, name: str
) -> None:
    backup = backups.save()
    content = (backup / name).read_bytes()
    (backup / name).write_bytes(content[:-10] + b"x" * 10)
    backups.configure(kyc={"folder": str(tmp_path / "restored")})
    for done in (backups.restore(backup, "--force"), backups.run("verify", backup)):
        assert done.returncode == 1
        assert name in done.stderr
    assert not (tmp_path / "restored").exists()


def test_a_part_that_fails_stops_no_other_and_deletes_no_old_backup(
    backups: Backups, documents: Path
) -> None:
    first = backups.save()
    backups.configure(kyc={"folder": str(documents)}, alertmanager={"url": "http://127.0.0.1:9"})
    assert wait_until(lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" not in first.name)
    done = backups.run("save", backups.configuration, backups.folder, "--keep", "1")
    assert done.returncode == 1
    assert "alertmanager: NOT saved" in done.stderr
    assert backups.all()[0] == first
    second = backups.all()[1]
    checked = backups.run("verify", second)
    assert (checked.returncode, "alertmanager: NOT saved" in checked.stdout) == (1, True)
    assert "kyc: files added to those in" in backups.restore(second, "--force").stdout


def test_old_backups_are_deleted_and_what_a_killed_one_left(backups: Backups, documents: Path) -> None:
    for name in (
        "amani-20200101T000000Z",
        "amani-20210101T000000Z",
        ".amani-20220101T000000Z.partial",
        "mine",
    ):
        (backups.folder / name).mkdir(parents=True)
    done = backups.run("save", backups.configuration, backups.folder, "--keep", "2")
    assert "Deleted amani-20200101T000000Z." in done.stdout
    kept = sorted(path.name for path in backups.folder.iterdir())
    assert [kept[0], kept[1], kept[3]] == [".lock", "amani-20210101T000000Z", "mine"]
    assert len(kept) == 4


def test_one_backup_at_a_time(backups: Backups, documents: Path) -> None:
    backups.folder.mkdir()
    with (backups.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = backups.run("save", backups.configuration, backups.folder)
    assert (done.returncode, "Another backup is being written" in done.stderr) == (1, True)
    assert backups.all() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("[kcy]", "must have sections of"), ("", "must have sections of"), ("[kyc]", "[kyc] needs 'folder'")],
)
def test_a_configuration_that_cannot_be_used_is_named(backups: Backups, text: str, said: str) -> None:
    backups.configuration.write_text(text)
    done = backups.run("save", backups.configuration, backups.folder)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["compose", "machine"])
def test_the_shipped_configurations_save_every_part(name: str) -> None:
    configuration = tomllib.loads((ROOT / f"deploy/backup/{name}.toml").read_text())
    assert list(configuration) == ["postgresql", "kyc", "alertmanager", "grafana", "prometheus"]


def test_the_configuration_for_compose_names_its_services_folders_and_ports() -> None:
    configuration = tomllib.loads((ROOT / "deploy/backup/compose.toml").read_text())
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    prefixes = [
        settings[name]
        for settings in configuration.values()
        for name in ("run", "run_when_stopped")
        if name in settings
    ]
    assert {prefix[-1] for prefix in prefixes} == {"postgres", "app", "prometheus"} < set(services)
    assert f"kyc:{configuration['kyc']['folder']}" in volumes(services["app"])
    assert f"prometheus:{configuration['prometheus']['folder']}" in volumes(services["prometheus"])
    assert "--web.enable-admin-api" in services["prometheus"]["command"]
    for part in ("alertmanager", "grafana", "prometheus"):
        port = urlsplit(configuration[part]["url"]).port
        assert [published.rsplit(":", 1)[-1] for published in services[part]["ports"]] == [str(port)]
    user = services["postgres"]["environment"]
    database = f"user={user['POSTGRES_USER']} dbname={user['POSTGRES_DB']}"
    assert configuration["postgresql"]["database"] == database


def volumes(service: dict[str, Any]) -> list[str]:
    """As `name:folder`, also those that are written as a mapping."""
    return [one if isinstance(one, str) else f"{one['source']}:{one['target']}" for one in service["volumes"]]
