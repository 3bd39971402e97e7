"""Rules are published to a real Prometheus: loaded and read back, or refused, and the old ones are back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from django.db import connection
from django.utils import timezone

from local import monitoring
from local.children import Program
from local.ports import find_free_port
from observability.models import AlertRule, RuleGroup, RulesVersion
from observability.rules.expressions.judging import Verdict, judge
from observability.rules.expressions.lints import lint
from observability.rules.publication import places, publish, work
from observability.rules.render import FILE
from observability.rules.sync import sync_rules
from observability.rules.tuning import Tuning, tune
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = [pytest.mark.needs("prometheus", "promtool"), pytest.mark.django_db(transaction=True)]

RULES = """
groups:
  - name: one
    interval: 1s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: QueueLong
        expr: |
          (
            vector(5)
          ) > 10
        labels: {severity: warning, part: "{{ $labels.job }}"}
        annotations: {summary: "The queue has {{ $value }} entries."}
  - name: two
    rules:
      - alert: Down
        expr: up{job="prometheus"} == 0 or sum by (job) (rate(up{job="nothing"}[5m])) > 1
        for: 1h30m
        keep_firing_for: 5m
"""


class Server:
    """A Prometheus with a folder of rules. `uses(pattern)` changes its rule_files."""

    def __init__(self, folder: Path) -> None:
        found = monitoring.find_program("prometheus")
        assert found is not None
        port = find_free_port()
        self.url, self.folder, self.rules = f"http://127.0.0.1:{port}", folder, folder / "rules"
        self.rules.mkdir()
        self.uses("rules/*.yml")
        self.program = Program(
            "prometheus",
            [
                found,
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.path=data",
                "--web.enable-lifecycle",
            ],
            output=os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600),
            environment=monitoring.environment(),
            folder=folder,
        )

    def uses(self, pattern: str) -> None:
        configuration = {"global": {"evaluation_interval": "1s"}, "rule_files": [pattern]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    def start(self) -> None:
        self.program.start()
        assert wait_until(self.is_ready), (self.folder / "log").read_text()

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=ANSWER_SECONDS).status_code == 200
        except requests.RequestException:
            return False

    def kill(self) -> None:
        assert self.program.process is not None
        self.program.process.kill()
        self.program.process.wait()

    def loaded(self) -> dict[str, str]:
        """The expression of each rule by its name."""
        answer = requests.get(f"{self.url}/api/v1/rules", timeout=ANSWER_SECONDS).json()
        return {rule["name"]: rule["query"] for group in answer["data"]["groups"] for rule in group["rules"]}

    def fires(self, name: str) -> bool:
        alerts = requests.get(f"{self.url}/api/v1/alerts", timeout=ANSWER_SECONDS).json()["data"]["alerts"]
        return any(alert["labels"]["alertname"] == name and alert["state"] == "firing" for alert in alerts)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("prometheus"))
    server.start()
    yield server
    server.program.stop()
    os.close(server.program.output)


@pytest.fixture
def ship(server: Server, tmp_path: Path, settings: Any) -> Callable[..., RulesVersion]:
    """`ship((before, after))` publishes RULES with these replacements; version 1 is published already."""
    settings.PROMETHEUS_URL, settings.ALERT_RULES_FOLDER = server.url, str(server.rules)
    AlertRule.objects.all().delete()
    RuleGroup.objects.all().delete()

    def publish_changed(*changes: tuple[str, str]) -> RulesVersion:
        text = RULES
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "shipped.yml").write_text(text)
        sync_rules(tmp_path)
        return publish(author=None, by="a test", reason="It is a test.")

    version = worked(publish_changed())
    assert (version.state, version.last_error) == ("published", "")
    return publish_changed


def worked(version: RulesVersion) -> RulesVersion:
    """The version after the worker's next attempt."""
    RulesVersion.objects.filter(pk=version.pk).update(next_attempt_at=timezone.now())
    work.run_due()
    version.refresh_from_db()
    return version


def test_the_alert_fires_at_the_new_threshold(server: Server, ship: Callable[..., RulesVersion]) -> None:
    assert not server.fires("QueueLong")
    version = worked(ship(("> 10", "> 4")))
    assert (version.state, version.last_error) == ("published", "")
    assert wait_until(lambda: server.fires("QueueLong"))


def test_a_tuned_rule_fires_at_its_threshold(
    server: Server, ship: Callable[..., RulesVersion], django_user_model: Any
) -> None:
    ada = django_user_model.objects.create_superuser("ada@example.com")
    rule = AlertRule.objects.get(name="QueueLong")
    assert (rule.series, rule.comparison, rule.threshold) == ("(\n  vector(5)\n)", ">", 10)
    tune(rule_id=rule.pk, tuning=Tuning(threshold=3), actor=ada, reason="Sooner.", seen_version=0)
    version = worked(publish(author=ada, reason="It is tuned."))
    assert (version.state, version.last_error) == ("published", "")
    assert wait_until(lambda: server.fires("QueueLong"))
    assert 'threshold: "> 3"' in version.files[FILE].replace("'", '"')


def test_prometheus_judges_an_expression_and_knows_which_series_it_has(server: Server, settings: Any) -> None:
    settings.PROMETHEUS_URL = server.url
    assert judge("sum(up)>5") == Verdict(True)
    refused = judge("sum(up >")
    assert refused.is_valid is False
    assert "parse error" in refused.error
    [missing] = lint('nothing{a="\\"{"} > 5', [])
    assert missing.text == 'Prometheus has no series nothing{a="\\"{"} now. Check its name and labels.'
    assert lint('absent(nothing{a="\\"{"})', []) == []


def test_all_shipped_rules_are_published_and_read_back(
    server: Server, ship: Callable[..., RulesVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)  # some groups are evaluated every two minutes
    sync_rules()
    version = worked(publish(author=None, by="a test", reason="All of them."))
    assert version.state == "published", version.last_error
    assert version.rule_count == AlertRule.objects.filter(removed_at=None).count()
    assert len(server.loaded()) > 100


def test_a_broken_expression_is_refused_with_its_line_and_never_written(
    server: Server, ship: Callable[..., RulesVersion]
) -> None:
    version = worked(ship(("> 10", "> > 10")))
    assert version.state == "refused"
    line, column = version.refused_line or 0, version.refused_column or 0
    assert version.files[FILE].splitlines()[line - 1][column - 1 :] == "> 10"
    assert "unexpected <op:>>" in version.last_error
    assert version.last_error.endswith("Version 1 stays in place.")
    assert server.loaded()["QueueLong"] == "(vector(5)) > 10"


def test_a_rule_that_prometheus_cannot_evaluate_is_taken_back(
    server: Server, ship: Callable[..., RulesVersion]
) -> None:
    version = worked(ship(("vector(5)\n", "label_replace(vector(5), 'x', '$1', '', '(')\n")))
    assert version.state == "refused"
    assert "Prometheus cannot evaluate QueueLong" in version.last_error
    assert version.last_error.endswith("Version 1 is in place again.")
    assert server.loaded()["QueueLong"] == "(vector(5)) > 10"


def test_a_pattern_that_matches_nothing_ends_in_not_published(
    server: Server, ship: Callable[..., RulesVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    server.uses("nothing/*.yml")
    try:
        version = worked(ship(("> 10", "> 4")))
    finally:
        server.uses("rules/*.yml")
    assert version.state == "refused"
    assert "Prometheus has loaded none of these rules." in version.last_error
    assert "Version 1 is in place again, but Prometheus has not loaded it" in version.last_error
    assert worked(ship(("> 10", "> 4"))).state == "published"


def test_a_file_that_is_mounted_by_itself_ends_in_not_published(
    server: Server, ship: Callable[..., RulesVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    mounted = server.folder / "mounted.yml"  # the file of before: a rename in the folder does not change it
    mounted.write_text((server.rules / FILE).read_text())
    server.uses("mounted.yml")
    try:
        version = worked(ship(("> 10", "> 4")))
    finally:
        server.uses("rules/*.yml")
    assert version.state == "refused"
    assert f"Prometheus has another QueueLong in the group one, from {mounted.name}" in version.last_error
    assert version.last_error.endswith("Version 1 is in place again.")


def test_a_prometheus_that_is_killed_in_the_middle_is_waited_for(
    server: Server, ship: Callable[..., RulesVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list(work.STEPS)
    after_write = steps.index(work.write) + 1
    with monkeypatch.context() as patch:
        patch.setattr(work, "STEPS", (*steps[:after_write], lambda this: server.kill(), *steps[after_write:]))
        version = worked(ship(("> 10", "> 4")))
    assert version.state == "publishing"
    assert version.last_error.startswith("Prometheus does not answer")
    server.start()
    assert server.loaded()["QueueLong"] == "(vector(5)) > 4"
    assert (worked(version).state, version.last_error) == ("published", "")


def test_a_worker_that_is_killed_between_writing_and_recording_is_followed_by_one_that_goes_on(
    server: Server, ship: Callable[..., RulesVersion]
) -> None:
    for number, step in enumerate((work.load, work.read_back, work.record), 11):
        version = ship(("> 10", f"> {number}"))
        kill_before(step)
        version.refresh_from_db()
        assert version.state == "publishing"
        assert (server.rules / FILE).read_text() == version.files[FILE]
        RulesVersion.objects.filter(pk=version.pk).update(lease_until=timezone.now())
        assert worked(version).state == "published"
        assert server.loaded()["QueueLong"] == f"(vector(5)) > {number}"


def kill_before(step: Callable[[Any], None]) -> None:
    """Publishes in a process of its own, which is killed before this step."""
    steps = list(work.STEPS)
    steps.insert(steps.index(step), lambda this: os.kill(os.getpid(), signal.SIGKILL))
    connection.close()
    child = os.fork()
    if child == 0:
        work.STEPS = tuple(steps)
        work.run_due()
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


# --- Fetched for a Prometheus that shares no folder with Amani ---


@pytest.fixture
def fetched(
    server: Server, ship: Callable[..., RulesVersion], live_server: Any, tmp_path: Path, settings: Any
) -> Iterator[Path]:
    """The rules are served from now on, and deploy/prometheus/fetch_rules.sh fetches them; its output."""
    settings.ALERT_RULES_FOLDER, settings.ALERT_RULES_TOKEN = "", "a-token-of-the-sidecar"
    token, output = tmp_path / "token", tmp_path / "output"
    token.write_text(settings.ALERT_RULES_TOKEN + "\n")
    with output.open("w") as file:
        script = Program(
            "fetch_rules",
            ["/bin/sh", str(settings.BASE_DIR / "deploy" / "prometheus" / "fetch_rules.sh")],
            output=file.fileno(),
            environment={
                "PATH": os.environ["PATH"],
                "AMANI_URL": live_server.url,
                "ALERT_RULES_TOKEN_FILE": str(token),
                "RULES_FOLDER": str(server.rules),
                "PROMETHEUS_URL": server.url,
                "EVERY": "0.2",
            },
            folder=tmp_path,
        )
        script.start()
        yield output
        script.stop()


def publish_fetched(version: RulesVersion, output: Path) -> None:
    is_published = wait_until(lambda: worked(version).state == "published")
    assert is_published, (version.last_error, output.read_text())


@pytest.mark.needs("curl")
def test_rules_are_fetched_loaded_and_read_back(
    server: Server, ship: Callable[..., RulesVersion], fetched: Path
) -> None:
    for threshold in (4, 3):
        publish_fetched(ship(("> 10", f"> {threshold}")), fetched)
        assert server.loaded()["QueueLong"] == f"(vector(5)) > {threshold}"
    assert sorted(file.name for file in server.rules.glob("*.yml")) == [FILE]
    # The script writes its line after Prometheus has loaded them, which Amani may see first.
    assert wait_until(lambda: fetched.read_text().count("Prometheus has loaded new rules") == 2)
    file = server.rules / FILE
    whole = file.read_text()
    file.unlink()
    assert wait_until(file.exists)
    # What a script leaves that is killed between two steps: the new file, which Prometheus may not load.
    file.write_text("groups: [{name: half")
    (server.folder / "kept").write_text(whole)
    (server.folder / "kept").rename(server.rules / "amani.yml.before")
    assert wait_until(lambda: file.read_text() == whole)


@pytest.mark.needs("curl")
def test_a_fetched_file_that_prometheus_does_not_load_is_taken_back_at_both_ends(
    server: Server, ship: Callable[..., RulesVersion], fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_fetched(ship(("> 10", "> 4")), fetched)
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    monkeypatch.setattr("shutil.which", lambda name: None)  # promtool would have found it
    version = worked(ship(("{{ $value }}", "{{ unclosed")))
    assert version.state == "publishing"
    assert wait_until(lambda: "has not loaded the new rules" in fetched.read_text())
    monkeypatch.setattr(places, "TO_LOAD", timedelta())
    assert wait_until(lambda: worked(version).state == "refused")
    assert "Version 2 is in place again" in version.last_error
    assert wait_until(lambda: (server.rules / FILE).read_text().startswith("# Version 2"))
    assert server.loaded()["QueueLong"] == "(vector(5)) > 4"
