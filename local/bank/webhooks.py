"""Tells Amani what happened: at once, twice, late, in another order, or not at all."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from urllib.parse import urlsplit

from core import outgoing
from escrow.payments.sandbox.format import SIGNATURE, signature_of
from local.bank.book import Entry

LATE_SECONDS = 30.0
RETRY_AFTER_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0)
SECONDS = 5.0
# How a person wants Amani to hear of it, with the words of the page.
WAYS = {
    "now": "tell Amani now",
    "twice": "tell it twice",
    "late": f"tell it after {LATE_SECONDS:.0f} s",
    "held": "hold it back",
    "never": "do not tell",
}


@dataclass(slots=True)
class Webhook:
    url: str
    body: bytes
    due: float
    attempts: int = 0
    held: bool = False


class Webhooks:
    def __init__(self, key: str, say: Callable[[str], None], amani: str = "") -> None:
        """`amani`: where webhooks go, if the address that Amani gives leads elsewhere from here."""
        self.key = key
        self.amani = amani
        self.say = say
        self.waiting: list[Webhook] = []
        self.changed = threading.Condition()
        self.is_open = True
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def tell(self, entry: Entry, way: str) -> None:
        """Plans the webhook about an entry, in one of WAYS."""
        url = str(entry.facts.get("webhook_url", ""))
        if not url or way == "never":
            return
        due = time.monotonic() + (LATE_SECONDS if way == "late" else 0.0)
        body = body_about(entry)
        with self.changed:
            for _ in range(2 if way == "twice" else 1):
                self.waiting.append(Webhook(url, body, due, held=way == "held"))
            self.changed.notify()

    def held(self) -> int:
        with self.changed:
            return sum(each.held for each in self.waiting)

    def release(self) -> None:
        """Sends what is held back, the last one first."""
        with self.changed:
            held = [each for each in self.waiting if each.held]
            self.waiting = [each for each in self.waiting if not each.held] + held[::-1]
            for each in held:
                each.held, each.due = False, time.monotonic()
            self.changed.notify()

    def close(self) -> None:
        with self.changed:
            self.is_open = False
            self.changed.notify()

    def _run(self) -> None:
        while True:
            with self.changed:
                while self.is_open and (wait := self._wait()) != 0:
                    self.changed.wait(wait)
                if not self.is_open:
                    return
                webhook = next(each for each in self.waiting if is_due(each))
                self.waiting.remove(webhook)
            self._send(webhook)

    def _wait(self) -> float | None:
        """Returns the seconds until one is due; None while there is none."""
        dues = [each.due for each in self.waiting if not each.held]
        return max(min(dues) - time.monotonic(), 0.0) if dues else None

    def _send(self, webhook: Webhook) -> None:
        url, host = reached_by(webhook.url, self.amani)
        headers = {
            "Host": host,
            "Content-Type": "application/json",
            SIGNATURE: signature_of(webhook.body, self.key, int(time.time())),
        }
        try:
            answer = outgoing.send(
                "POST",
                url,
                body=webhook.body,
                headers=headers,
                seconds=SECONDS,
                limit_bytes=10_000,
                by_proxy=False,
            )
        except outgoing.DeliveryError as problem:
            self._again(webhook, str(problem))
        else:
            if answer.status >= 300:
                self._again(webhook, str(answer.status))

    def _again(self, webhook: Webhook, why: str) -> None:
        self.say(f"webhook not taken: {why}")
        if webhook.attempts == len(RETRY_AFTER_SECONDS):
            return
        webhook.due = time.monotonic() + RETRY_AFTER_SECONDS[webhook.attempts]
        webhook.attempts += 1
        with self.changed:
            self.waiting.append(webhook)
            self.changed.notify()


def reached_by(url: str, amani: str) -> tuple[str, str]:
    """Returns where `url` is reached from here, and the host to name there: the one that Amani gave."""
    host, path = urlsplit(url).netloc, urlsplit(url).path
    return (f"{amani.rstrip('/')}{path}" if amani else url), host


def is_due(webhook: Webhook) -> bool:
    return not webhook.held and webhook.due <= time.monotonic()


def body_about(entry: Entry) -> bytes:
    about = {
        "id": f"evt_{token_hex(8)}",
        "type": f"{entry.kind}.{entry.status}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(about | {"reference": entry.reference, "data": entry.content()}).encode()
