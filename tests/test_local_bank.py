"""The sandbox bank of `make run`: a page on which a person plays the bank, and what Amani is told."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Generator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from escrow.payments.sandbox.format import SIGNATURE, is_signed
from local.bank import settings as bank_settings
from local.bank.book import COLLECTION, PAYOUT, Book
from local.bank.server import LARGEST_BODY, Bank
from local.configuration import Configuration
from observability.tests.stand_in import StandIn
from observability.tests.waiting import ANSWER_SECONDS, wait_until

KEY = "key-of-the-bank"
HOSTILE = "<script>alert(1)</script>\"'><img src=x>"


class Amani(StandIn):
    """Takes webhooks; `statuses` are answered first."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.hosts: list[str] = []
        self.statuses: list[int] = []
        super().__init__()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        assert is_signed(body, handler.headers[SIGNATURE], KEY)
        self.bodies.append(body)
        self.hosts.append(handler.headers["Host"])
        handler.send_response(self.statuses.pop(0) if self.statuses else 200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def told(self, count: int) -> list[str]:
        """The types of the webhooks, once there are `count`."""
        assert wait_until(lambda: len(self.bodies) >= count)
        return [json.loads(body)["type"] for body in self.bodies]


@pytest.fixture
def amani() -> Generator[Amani]:
    stand_in = Amani()
    yield stand_in
    stand_in.close()


@pytest.fixture
def bank() -> Generator[Bank]:
    with Bank(0, key=KEY) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def url(bank: Bank) -> str:
    return f"http://127.0.0.1:{bank.server_port}"


def facts(amani: Amani | None = None, **changes: Any) -> dict[str, Any]:
    webhook_url = f"http://{amani.address}/hook" if amani else ""
    known = {"reference": "r-1", "amount_minor": 150_000, "currency": "NGN", "webhook_url": webhook_url}
    return known | {"title": "A boat"} | changes


def posted(url: str, path: str, content: Any, key: str = KEY) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.post(f"{url}/api/{path}", json=content, headers=headers, timeout=ANSWER_SECONDS)


def act(url: str, path: str = "act", **form: str) -> requests.Response:
    return requests.post(f"{url}/{path}", data=form, timeout=ANSWER_SECONDS, allow_redirects=False)


def pay(url: str, amount: str = "1500.00", **form: str) -> requests.Response:
    known = {"kind": COLLECTION, "reference": "r-1", "action": "pay", "amount": amount, "at": "/pay/r-1"}
    return act(url, **known | form)


def shown(url: str, path: str = "/") -> str:
    answer = requests.get(f"{url}{path}", timeout=ANSWER_SECONDS)
    assert answer.status_code == 200
    return answer.text.partition("<main")[2].partition("</main>")[0]


# --- the contract ---


def test_a_reference_is_taken_once_and_answered_the_same(url: str) -> None:
    first, again = posted(url, "collections", facts()), posted(url, "collections", facts())
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert posted(url, "collections", facts(amount_minor=1)).status_code == 409
    assert "sent 3 times" in shown(url)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": 1.5},
        {"amount_minor": True},
        {"currency": "naira"},
        {"reference": ""},
        {"reference": "x" * 65},
        {"webhook_url": "file:///etc/passwd"},
    ],
)
def test_what_is_no_payment_is_refused(url: str, changes: dict[str, Any]) -> None:
    answer = posted(url, "payouts", facts(**changes))
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
    assert "No payment and no payout yet" in shown(url)


def test_the_api_asks_for_the_key_and_knows_its_addresses(url: str) -> None:
    assert posted(url, "payouts", facts(), key="wrong").status_code == 401
    assert requests.get(f"{url}/api/payouts/r-1", timeout=ANSWER_SECONDS).status_code == 401
    assert posted(url, "loans", facts()).status_code == 404
    assert posted(url, "payouts", [1]).status_code == 400
    large = requests.post(f"{url}/api/payouts", data=b" " * (LARGEST_BODY + 1), timeout=ANSWER_SECONDS)
    assert large.status_code == 413


# --- what a person does, and what Amani is told ---


def test_a_payment_of_another_amount_is_told_and_answered(url: str, bank: Bank, amani: Amani) -> None:
    posted(url, "collections", facts(amani))
    answer = pay(url, "1,200.50")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pay/r-1")
    assert amani.told(1) == ["collection.received"]
    told = json.loads(amani.bodies[0])
    assert told["data"] == {
        "id": told["data"]["id"],
        "reference": "r-1",
        "status": "received",
        "paid_minor": 120_050,
        "currency": "NGN",
    }
    assert "NGN 1,200.50" in shown(url, "/pay/r-1")


def test_a_webhook_is_told_twice_or_never_and_is_the_same_event(url: str, amani: Amani) -> None:
    posted(url, "payouts", facts(amani))
    payout = {"kind": PAYOUT, "reference": "r-1"}
    act(url, **payout, action="confirm", way="never")
    act(url, **payout, action="fail", way="twice")
    assert amani.told(2) == ["payout.failed", "payout.failed"]
    assert amani.bodies[0] == amani.bodies[1]


def test_what_is_held_back_is_told_the_last_first(url: str, bank: Bank, amani: Amani) -> None:
    posted(url, "payouts", facts(amani))
    for action in ("confirm", "reverse"):
        act(url, kind=PAYOUT, reference="r-1", action=action, way="held")
    assert bank.webhooks.held() == 2
    assert "held back (2)" in requests.get(url, timeout=ANSWER_SECONDS).text
    assert amani.bodies == []
    act(url, "release")
    assert amani.told(2) == ["payout.reversed", "payout.settled"]


def test_a_webhook_that_is_not_taken_is_sent_again(
    url: str, amani: Amani, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.bank.webhooks.RETRY_AFTER_SECONDS", (0.01, 0.01))
    amani.statuses = [503, 302, 200]
    posted(url, "collections", facts(amani))
    pay(url)
    assert amani.told(3) == ["collection.received"] * 3
    assert len(set(amani.bodies)) == 1


@pytest.mark.parametrize(
    "form",
    [
        {"amount": "-1"},
        {"amount": "1.234"},
        {"amount": ""},
        {"amount": "0"},
        {"currency": "XXQ"},
        {"action": "confirm"},
        {"reference": "another"},
        {"way": "loudly"},
    ],
)
def test_what_is_no_action_changes_nothing(url: str, form: dict[str, str]) -> None:
    posted(url, "collections", facts())
    assert pay(url, **form).status_code == 400
    assert 'class="mark status">open<' in shown(url)


def test_an_action_never_leads_to_another_site(url: str) -> None:
    posted(url, "collections", facts())
    assert pay(url, at="https://attacker.example/").headers["Location"] == "/"
    assert pay(url, at="//attacker.example/").headers["Location"] == "/"


# --- the page ---


def test_a_page_of_the_web_neither_plays_the_bank_nor_reads_it(url: str) -> None:
    posted(url, "collections", facts())
    for headers in ({"Origin": "https://attacker.example"}, {"Origin": "null"}, {"Host": "attacker.example"}):
        for path in ("act", "release", "fault", "api/payouts"):
            answer = requests.post(f"{url}/{path}", data={}, headers=headers, timeout=ANSWER_SECONDS)
            assert answer.status_code == 403
        assert requests.get(url, headers=headers, timeout=ANSWER_SECONDS).status_code == 403
    assert 'class="mark status">open<' in shown(url)


def test_what_amani_sends_is_text_on_the_page(url: str) -> None:
    hostile = facts(title=HOSTILE, currency="<b>", reference=HOSTILE, return_url="javascript:alert(1)")
    assert posted(url, "collections", hostile).status_code == 201
    destination = {"account_name": HOSTILE, "bank_code": "058"}
    assert posted(url, "payouts", facts(destination=destination)).status_code == 201
    main = shown(url)
    assert "alert(1)" in main
    assert "<script" not in main
    assert "<img" not in main
    assert "href=" not in main


def test_the_page_runs_only_its_own_style_and_script(url: str) -> None:
    answer = requests.get(url, timeout=ANSWER_SECONDS)
    policy = answer.headers["Content-Security-Policy"]
    for kind in ("style", "script"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        assert f"{kind}-src 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}';" in policy
    assert "unsafe" not in policy
    assert "form-action 'self'" in policy
    assert requests.get(f"{url}/pay/unknown", timeout=ANSWER_SECONDS).status_code == 404


def test_in_a_container_it_is_called_and_calls_by_other_names(amani: Amani) -> None:
    names = ("localhost:8126", "bank:8026")
    with Bank(0, key=KEY, hosts=names, amani=f"http://{amani.address}/") as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url, headers = f"http://127.0.0.1:{server.server_port}", {"Authorization": f"Bearer {KEY}"}
        content = facts() | {"webhook_url": "http://localhost:8000/hook"}
        made = requests.post(
            f"{url}/api/collections",
            json=content,
            headers=headers | {"Host": names[1]},
            timeout=ANSWER_SECONDS,
        )
        assert made.json()["checkout_url"] == "http://localhost:8126/pay/r-1"
        pay(url)
        assert amani.told(1) == ["collection.received"]
        assert amani.hosts == ["localhost:8000"]
        for host, status in (("localhost:8126", 200), ("bank:8027", 403)):
            answer = requests.get(url, headers={"Host": host}, timeout=ANSWER_SECONDS)
            assert answer.status_code == status
        server.shutdown()


def test_it_still_knows_after_the_next_start(tmp_path: Path) -> None:
    book = Book(tmp_path / "bank.json")
    entry, _ = book.take(COLLECTION, facts())
    book.act(entry, "pay", amount_minor=5)
    again = Book(tmp_path / "bank.json").find(COLLECTION, "r-1")
    assert again == entry
    assert (tmp_path / "bank.json").stat().st_mode & 0o077 == 0


# --- make run ---


def configured(**given: str) -> Configuration:
    ports = {"port": 8000, "prometheus_port": 9090, "alertmanager_port": 9093, "inbox_port": 8025}
    return Configuration(given=given, host="127.0.0.1", **ports)


def test_the_bank_runs_unless_a_real_provider_or_another_bank_is_set_up() -> None:
    assert configured().has_bank
    assert configured(PAYMENT_PROVIDER="sandbox").has_bank
    assert not configured(PAYMENT_PROVIDER="paystack").has_bank
    assert not configured(PAYMENT_SANDBOX_URL="http://127.0.0.1:1").has_bank
    assert not configured(DEBUG="false").has_bank
    assert bank_settings(8026, "k") == {
        "PAYMENT_SANDBOX_URL": "http://127.0.0.1:8026",
        "PAYMENT_SANDBOX_KEY": "k",
    }
