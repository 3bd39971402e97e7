"""The parts of the launcher that need no running services."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from local import bootstrap, configuration, jaeger, lock, monitoring
from local.audit import report
from local.children import Backoff
from local.configuration import Configuration, ConfigurationError

PORTS = {"8000": 9090, "9090": 18001, "9093": 18002}


def configured(**given: str) -> Configuration:
    return Configuration(
        given=given,
        host="127.0.0.1",
        port=8000,
        prometheus_port=9090,
        alertmanager_port=9093,
        inbox_port=8025,
    )


def test_ports_are_replaced_all_at_once() -> None:
    text = "localhost:8000 localhost:9090 http://localhost:9093/x localhost:1234"
    assert (
        monitoring.with_ports(text, PORTS)
        == "localhost:9090 localhost:18001 http://localhost:18002/x localhost:1234"
    )


def test_the_deployed_files_name_the_addresses_that_are_replaced() -> None:
    prometheus = (configuration.ROOT / "deploy/prometheus/prometheus.yml").read_text()
    alertmanager = (configuration.ROOT / "deploy/alertmanager/alertmanager.yml").read_text()
    assert all(f'["localhost:{port}"]' in prometheus for port in PORTS)
    assert "http://localhost:8000/api/v1/alerts/webhook" in alertmanager


def test_a_missing_prometheus_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert monitoring.find_program("alertmanager") is None
    assert monitoring.how_to_get("alertmanager") == (
        "alertmanager is not running: it is not on the PATH "
        "(Debian: apt-get install prometheus-alertmanager; macOS: brew install alertmanager)."
    )


def test_prometheus_keeps_the_trace_ids_of_the_buckets() -> None:
    command = monitoring.command("prometheus", "/usr/bin/prometheus", Path("/run"), configured())
    assert "--enable-feature=exemplar-storage" in command


def test_amani_publishes_the_rules_of_this_prometheus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(monitoring, "RUN", tmp_path)
    monkeypatch.setattr(monitoring, "RULES", tmp_path / "prometheus" / "rules")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert monitoring.settings() == {}
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert monitoring.settings() == {"ALERT_RULES_FOLDER": str(tmp_path / "prometheus" / "rules")}
    for name in ("amani.yml", "alert_rules.yml"):
        (tmp_path / "prometheus" / "rules" / name).touch()
    monitoring.render("prometheus", configured())
    assert [file.name for file in monitoring.RULES.iterdir()] == ["amani.yml"]
    command = monitoring.command("prometheus", "/usr/bin/prometheus", tmp_path, configured())
    assert "--web.enable-lifecycle" in command


def test_rules_that_are_published_elsewhere_are_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(monitoring, "RUN", tmp_path)
    elsewhere = configured(ALERT_RULES_FOLDER="/srv/rules")
    rules = monitoring.render("prometheus", elsewhere) / "rules"
    shipped = configuration.ROOT / "deploy" / "prometheus" / "rules"
    assert {file.name for file in rules.iterdir()} == {file.name for file in shipped.glob("*.yml")}


def test_jaeger_runs_where_it_is_installed_and_its_ports_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/{name}" if name == "jaeger" else None)
    monkeypatch.setattr("local.ports.is_free", lambda port: True)
    assert jaeger.find() == "/opt/jaeger"
    monkeypatch.setattr("local.ports.is_free", lambda port: port != 4318)
    assert jaeger.find() is None
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert jaeger.find() is None


def test_jaeger_listens_on_this_machine_only() -> None:
    endpoints = [part.rpartition("=")[2] for part in jaeger.command("/opt/jaeger")[1:]]
    assert endpoints == ["127.0.0.1:16686", "127.0.0.1:16685"]


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "\uff18\uff10\uff10\uff10"])
def test_a_port_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PROMETHEUS_PORT is"):
        configuration.port({"PROMETHEUS_PORT": text}, "PROMETHEUS_PORT", 9090)


def test_what_the_developer_set_gets_no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "RUN", tmp_path)
    values = configured(DEBUG="false", SECRET_KEY_FILE="/somewhere", REDIS_URL="").defaults(
        {"DATABASE_URL": "postgresql://private", "REDIS_URL": "redis://private"}
    )
    assert "DEBUG" not in values
    assert "SECRET_KEY" not in values
    assert values["DATABASE_URL"] == "postgresql://private"
    assert values["REDIS_URL"] == "redis://private"


def test_the_environment_file_takes_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "RUN", tmp_path)
    values = {"PROMETHEUS_MULTIPROC_DIR": "/home/o'neil/my #1 \\ folder", "DEBUG": "true"}
    configuration.write_env_file(values)
    assert dotenv_values(tmp_path / "env") == values
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


def test_the_demo_login_is_shown_in_development_only() -> None:
    assert configured().is_development
    assert configured(DEBUG="TRUE").is_development
    assert not configured(DEBUG="false").is_development


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://hooks.example.com/1\n")
    given = configured(SLACK_WEBHOOK_URL_FILE=str(tmp_path / "url"))
    assert given.value("SLACK_WEBHOOK_URL") == "https://hooks.example.com/1"
    assert given.value("PAGERDUTY_API_KEY") == ""


def test_a_child_that_keeps_dying_waits_longer_each_time_up_to_a_limit() -> None:
    backoff = Backoff()
    assert [backoff.ended() for _ in range(8)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert not backoff.is_due


def test_a_child_that_ran_well_starts_again_at_once() -> None:
    backoff = Backoff()
    backoff.ended()
    backoff.ended()
    backoff.started_at -= Backoff.WELL_AFTER + 1
    assert backoff.ended() == 0.0
    assert backoff.is_due


LOCKED = "django==5.2.1 \\\n    --hash=sha256:00\npsycopg-binary[pool]==3.2 ; python_version > '3'\n"


@pytest.mark.parametrize(
    "line", ["--index-url https://example.com/simple", "x @ file:///tmp/x", "# http://mirror"]
)
def test_a_download_address_in_a_lock_file_is_found(line: str) -> None:
    assert lock.address_in(f"{LOCKED}{line}\n") == line
    assert lock.address_in(LOCKED) is None


def test_a_known_vulnerability_fails_the_audit() -> None:
    answer = (
        '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}, '
        '{"name": "b", "version": "1", "vulns": []}]}'
    )
    assert report(answer) == (["a 1: CVE-1, fixed in 2"], True)


def test_a_vulnerability_service_that_cannot_be_asked_is_said_and_fails_nothing() -> None:
    sentence = "The vulnerability service could not be asked about {}; nothing is known about them."
    assert report("") == ([sentence.format("the requirements")], False)
    skipped = '{"dependencies": [{"name": "a", "skip_reason": "offline"}]}'
    assert report(skipped) == ([sentence.format("1 of 1 requirements")], False)


def test_an_old_python_gets_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 9, 6))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SystemExit, match=r"Amani needs Python 3\.11 or newer; .* is 3\.9\.6\."):
        bootstrap.use_new_enough_python()


def test_uv_is_installed_as_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    wanted = "uv==0.13 \\\n    --hash=sha256:01 \\\n    --hash=sha256:02"
    lock_file = f"a==1 \\\n    --hash=sha256:00\n{wanted}\n    # via x\nuvloop==1 \\\n    --hash=sha256:03\n"
    (tmp_path / "requirements-dev.txt").write_text(lock_file)
    assert bootstrap.locked_uv() == wanted


def test_a_missing_venv_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        bootstrap.require_venv_module()
