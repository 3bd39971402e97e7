"""Prometheus and Alertmanager with the files of deploy/, some twenty times faster.

What changes: ports, intervals, `for:`, the windows in square brackets and their offsets, and PagerDuty's
address. Expressions, thresholds, routes, receivers and templates stay as they are; a test that waits for a
sign of life to be missed may lower how old it has to be.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from local import monitoring
from local.children import Program
from local.ports import find_free_port
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.installation import ROOT, TOKEN

SPEED = 20
SHORTEST_SECONDS = 1
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\d+)([smhd])")
WINDOW = re.compile(r"\[(\d+[smhd])\]")
OFFSET = re.compile(r"\boffset (\d+[smhd])\b")
SILENCE = re.compile(r"(time\(\) - [^>]*)> \d+")
SCRAPES = ("scrape_interval", "scrape_timeout")
WAITS = ("group_wait", "group_interval", "repeat_interval")


def faster(duration: str) -> str:
    """`"5m"` as `"15s"`; never under a second."""
    found = DURATION.fullmatch(duration)
    assert found is not None, duration
    return f"{max(int(found[1]) * UNITS[found[2]] // SPEED, SHORTEST_SECONDS)}s"


def faster_rules(rules: dict[str, Any], silence_seconds: int | None) -> dict[str, Any]:
    for group in rules["groups"]:
        group.pop("interval", None)  # then it is that of the configuration
        for rule in group["rules"]:
            # Prometheus extrapolates from what lies in the window: it needs a few scrapes there.
            rule["expr"] = WINDOW.sub(lambda found: f"[{faster(found[1])}]", rule["expr"])
            rule["expr"] = OFFSET.sub(lambda found: f"offset {faster(found[1])}", rule["expr"])
            if silence_seconds is not None:
                rule["expr"] = SILENCE.sub(rf"\g<1>> {silence_seconds}", rule["expr"])
            if "for" in rule:
                rule["for"] = faster(rule["for"])
    return rules


def faster_prometheus(configuration: dict[str, Any], scrape_seconds: int) -> dict[str, Any]:
    for section in (configuration["global"], *configuration["scrape_configs"]):
        section.update({name: f"{scrape_seconds}s" for name in SCRAPES if name in section})
    configuration["global"]["evaluation_interval"] = "1s"
    return configuration


def faster_alertmanager(configuration: dict[str, Any], pagerduty_url: str) -> dict[str, Any]:
    route = configuration["route"]
    for section in (route, *route["routes"]):
        section.update({name: faster(section[name]) for name in WAITS if name in section})
    configuration["global"]["pagerduty_url"] = pagerduty_url
    return configuration


class Monitoring:
    """One Prometheus and one Alertmanager that watch the application on `port`.

    `silence_seconds`: how old a sign of life has to be until its rule misses it; as shipped unless given.
    `ports`: of Prometheus and of Alertmanager, where others know them before; free ones unless given.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        find: Callable[[str], str],
        *,
        slack_url: str,
        pagerduty_url: str,
        silence_seconds: int | None = None,
        resend_delay: str = "5s",
        scrape_seconds: int = 1,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.folder = folder
        of_prometheus, of_alertmanager = ports or (find_free_port(), find_free_port())
        self.ports = {"8000": port, "9090": of_prometheus, "9093": of_alertmanager}
        self.prometheus_url = f"http://localhost:{self.ports['9090']}"
        self.alertmanager_url = f"http://localhost:{self.ports['9093']}"
        self.render("prometheus", "prometheus.yml", lambda found: faster_prometheus(found, scrape_seconds))
        for rules in sorted((ROOT / "deploy" / "prometheus").glob("rules/*.yml")):
            self.render(
                "prometheus", f"rules/{rules.name}", lambda found: faster_rules(found, silence_seconds)
            )
        self.render(
            "alertmanager", "alertmanager.yml", lambda found: faster_alertmanager(found, pagerduty_url)
        )
        self.write_secrets(slack_url)
        # The first alert is lost: it comes before Prometheus has looked for an Alertmanager (after 5 s).
        self.prometheus = self.program(
            "prometheus",
            find("prometheus"),
            "--storage.tsdb.path=data",
            f"--rules.alert.resend-delay={resend_delay}",
            monitoring.EXEMPLARS,
            "--web.enable-lifecycle",
        )
        self.alertmanager = self.program(
            "alertmanager", find("alertmanager"), "--storage.path=data", "--cluster.listen-address="
        )

    def render(self, name: str, file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        text = monitoring.with_ports((ROOT / "deploy" / name / file).read_text(), self.ports)
        target = self.folder / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(change(yaml.safe_load(text)), sort_keys=False))

    def write_secrets(self, slack_url: str) -> None:
        secrets = self.folder / "alertmanager" / "secrets"
        secrets.mkdir()
        (secrets / "alert_webhook_token").write_text(TOKEN)
        (secrets / "slack_webhook_url").write_text(slack_url)
        (secrets / "pagerduty_api_key").write_text("A" * 32)

    def program(self, name: str, path: str, *arguments: str) -> Program:
        port = self.ports["9090" if name == "prometheus" else "9093"]
        command = [path, f"--config.file={name}.yml", f"--web.listen-address=127.0.0.1:{port}", *arguments]
        output = os.open(self.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT, 0o600)
        folder = self.folder / name
        return Program(name, command, output=output, environment=monitoring.environment(), folder=folder)

    def start(self) -> None:
        self.alertmanager.start()
        assert wait_until(lambda: answers(f"{self.alertmanager_url}/-/ready")), self.log("alertmanager")
        self.prometheus.start()
        assert wait_until(lambda: answers(f"{self.prometheus_url}/-/ready")), self.log("prometheus")

    def stop(self) -> None:
        for program in (self.prometheus, self.alertmanager):
            program.stop()
            os.close(program.output)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    @contextmanager
    def without_prometheus(self) -> Iterator[None]:
        """Prometheus stands still (SIGSTOP), so it sees nothing and sends nothing."""
        process = self.prometheus.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    # --- what Prometheus thinks ---

    def knows_alertmanager(self) -> bool:
        """Before that, some seconds after the start, Prometheus sends its alerts nowhere."""
        answer = requests.get(f"{self.prometheus_url}/api/v1/alertmanagers", timeout=ANSWER_SECONDS).json()
        return bool(answer["data"]["activeAlertmanagers"])

    def alerts(self) -> dict[str, str]:
        """State by alert name."""
        found = requests.get(f"{self.prometheus_url}/api/v1/alerts", timeout=ANSWER_SECONDS).json()["data"][
            "alerts"
        ]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}

    def value(self, query: str) -> float | None:
        result = self.answer(query)
        return float(result[0]["value"][1]) if result else None

    def answer(self, query: str) -> list[dict[str, Any]]:
        """Every series that answers `query` now, with its labels and its value."""
        answer = requests.get(
            f"{self.prometheus_url}/api/v1/query", params={"query": query}, timeout=ANSWER_SECONDS
        ).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health: `unknown` until it was evaluated, then `ok` or `err`."""
        groups = requests.get(f"{self.prometheus_url}/api/v1/rules", timeout=ANSWER_SECONDS).json()["data"]
        return [rule for group in groups["groups"] for rule in group["rules"]]


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=ANSWER_SECONDS).status_code == 200
    except requests.RequestException:
        return False
