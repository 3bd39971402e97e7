"""Sends webhooks and reads pages through the proxy in front, from several threads; counts the answers."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType

import requests


def body(name: str) -> dict[str, object]:
    """A webhook with one firing alert."""
    labels = {"alertname": name, "severity": "warning", "service": "stack-test"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{name} of the stack test"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": hashlib.sha256(name.encode()).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": f"{{}}:{{alertname={name!r}}}",
        "status": "firing",
        "receiver": "amani",
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "truncatedAlerts": 0,
        "alerts": [alert],
    }


@dataclass
class Load:
    """`with Load(address, token) as load: …` sends until the block ends. Failed requests are not repeated.

    `taken` are the names of the alerts that were answered with 200, `failed` what became of the others.
    """

    address: str
    token: str
    certificate: str
    threads: int = 3
    pause_seconds: float = 0.05
    taken: list[str] = field(default_factory=list)
    read: int = 0
    failed: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number in range(self.threads):
            thread = threading.Thread(target=self.send, args=(number,), daemon=True)
            thread.start()
            self.running.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        for thread in self.running:
            thread.join(60)

    def wait_for(self, taken: int, what: str, seconds: float = 900.0) -> None:
        deadline = time.monotonic() + seconds
        while len(self.taken) < taken:
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.2)

    def send(self, number: int) -> None:
        session = requests.Session()
        session.verify = self.certificate
        session.trust_env = False  # a bundle in the environment would be used in spite of `verify`
        began = time.time_ns()
        count = 0
        while not self.ended.wait(self.pause_seconds):
            count += 1
            name = f"StackTest{began}x{number}x{count}"
            self.post(session, name)
            self.get(session)

    def post(self, session: requests.Session, name: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = session.post(
                f"{self.address}/api/v1/alerts/webhook", json=body(name), headers=headers, timeout=60
            )
        except requests.RequestException as problem:
            self.failed.append(f"POST {type(problem).__name__}")
            return
        if answer.status_code == requests.codes.ok:
            self.taken.append(name)
        else:
            self.failed.append(f"POST {answer.status_code}")

    def get(self, session: requests.Session) -> None:
        try:
            answer = session.get(f"{self.address}/accounts/login/", timeout=60)
        except requests.RequestException as problem:
            self.failed.append(f"GET {type(problem).__name__}")
            return
        if answer.status_code == requests.codes.ok:
            self.read += 1
        else:
            self.failed.append(f"GET {answer.status_code}")
