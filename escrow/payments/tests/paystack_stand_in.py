"""A fake Paystack over real HTTP, written after its public documentation."""

from __future__ import annotations

import hmac
import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from observability.tests.stand_in import StandIn

SECRET_KEY = "sk_test_0123456789abcdef"
PREVIOUS_KEY = "sk_test_fedcba9876543210"


@dataclass
class Fault:
    """What happens instead of an answer. `after`: the work is done first, and its answer is lost."""

    status: int = 500
    body: str = ""
    hang: bool = False
    reset: bool = False
    after: bool = False


class PaystackStandIn(StandIn):
    def __init__(self) -> None:
        self.released = threading.Event()
        self.transactions: dict[str, dict[str, Any]] = {}
        self.transfers: dict[str, dict[str, Any]] = {}
        self.recipients: dict[str, str] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)  # by operation
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.first_status = "pending"  # of a transfer; "otp" while the account asks for one
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        self.released.set()
        super().close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        operation = operation_of(handler.command, handler.path)
        self.requests.append((operation, json.loads(body) if body else {}))
        fault = self.faults[operation].popleft() if self.faults[operation] else None
        status, said = 0, ""
        if fault is None or fault.after:
            status, said = self.work(operation, handler, self.requests[-1][1])
        if fault is not None:
            status, said = fault.status, fault.body
            if fault.hang or fault.reset:
                self.released.wait(30 if fault.hang else 0)
                handler.close_connection = True
                return
        content = said.encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def work(self, operation: str, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> tuple[int, str]:
        if handler.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            return refused(401, "Invalid key", "invalid_key")
        reference = handler.path.rsplit("/", 1)[-1]
        match operation:
            case "initialize":
                return self.initialize(asked)
            case "recipient":
                return self.recipient(asked)
            case "transfer":
                return self.transfer(asked)
            case "verify_transaction":
                known = self.transactions.get(reference)
                missing = refused(400, "Transaction reference not found.", "transaction_not_found")
            case _:
                known = self.transfers.get(reference)
                missing = refused(404, "Transfer not found", "transfer_not_found")
        return accepted("Retrieved", known) if known else missing

    def initialize(self, asked: dict[str, Any]) -> tuple[int, str]:
        if asked["reference"] in self.transactions:
            return refused(400, "Duplicate Transaction Reference", "duplicate_reference")
        kept = {
            "id": 4099260516 + len(self.transactions),
            "domain": "test",
            "status": "abandoned",
            "fees": None,
        }
        facts = {name: asked[name] for name in ("reference", "amount", "currency")}
        self.transactions[asked["reference"]] = kept | facts
        code = f"access{len(self.transactions)}"
        url = f"https://checkout.paystack.com/{code}"
        return accepted(
            "Authorization URL created",
            {"authorization_url": url, "access_code": code, "reference": asked["reference"]},
        )

    def recipient(self, asked: dict[str, Any]) -> tuple[int, str]:
        if asked["bank_code"] == "999":
            return refused(400, "Cannot resolve account", "invalid_bank_code")
        code = self.recipients.setdefault(asked["account_number"], f"RCP_{len(self.recipients) + 1:016d}")
        return accepted("Transfer recipient created successfully", {"recipient_code": code}, status=201)

    def transfer(self, asked: dict[str, Any]) -> tuple[int, str]:
        known = self.transfers.get(asked["reference"])
        if known is None:
            known = {
                "id": 860670817 + len(self.transfers),
                "transfer_code": f"TRF_{len(self.transfers) + 1:016d}",
                "status": self.first_status,
                "source": "balance",
                "failures": None,
            } | {name: asked[name] for name in ("reference", "amount", "currency", "reason")}
            self.transfers[asked["reference"]] = known
        return accepted("Transfer has been queued", known)

    def webhook(self, event: str, data: dict[str, Any]) -> bytes:
        return json.dumps({"event": event, "data": data}).encode()


def operation_of(method: str, path: str) -> str:
    if method == "GET":
        return "verify_transaction" if path.startswith("/transaction/") else "verify_transfer"
    return {"/transaction/initialize": "initialize", "/transferrecipient": "recipient"}.get(path, "transfer")


def accepted(message: str, data: dict[str, Any], status: int = 200) -> tuple[int, str]:
    return status, json.dumps({"status": True, "message": message, "data": data})


def refused(status: int, message: str, code: str) -> tuple[int, str]:
    meta = {"nextStep": "Look at the request"}
    content = {"status": False, "message": message, "meta": meta, "type": "validation_error", "code": code}
    return status, json.dumps(content)


def signature_of(body: bytes, key: str = SECRET_KEY) -> str:
    return hmac.digest(key.encode(), body, "sha512").hex()
