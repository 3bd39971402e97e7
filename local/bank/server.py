"""The bank's HTTP: the API below /api/, the page at / and /pay/<reference>, and the forms of the page."""

import hmac
import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from core.money import CURRENCIES, parse_amount
from local.bank.book import ACTIONS, COLLECTION, PAYOUT, Book, Differs, Entry, Faulty
from local.bank.page import FAULTS, address_of, page, policy
from local.bank.webhooks import WAYS, Webhooks
from local.ports import LOOPBACK

LARGEST_BODY = 256 * 1024
HANG_SECONDS = 60.0
POLICY = policy()
KINDS = {"collections": COLLECTION, "payouts": PAYOUT}


class Answer(NamedTuple):
    status: int
    content_type: str
    text: str
    location: str = ""


def html(text: str) -> Answer:
    return Answer(200, "text/html; charset=utf-8", text)


def plain(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text)


def json_answer(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, "application/json", json.dumps(content))


def error(status: int, code: str, message: str) -> Answer:
    return json_answer(status, {"error": code, "message": message})


class Bank(ThreadingHTTPServer):
    daemon_threads = True  # one that hangs on purpose does not keep the bank from stopping

    def __init__(
        self,
        port: int,
        *,
        key: str,
        file: Path | None = None,
        listen: str = LOOPBACK,
        hosts: Sequence[str] = (),
        amani: str = "",
    ) -> None:
        """`hosts`: further names, as `host:port`; the first is in buyers' links. `amani`: as for Webhooks."""
        super().__init__((listen, port), Handler)
        self.key = key
        self.book = Book(file)
        self.webhooks = Webhooks(key, say, amani)
        self.fault = ""  # of FAULTS, for the next payout
        self.stopping = threading.Event()
        self.hosts = (*hosts, *(f"{name}:{self.server_port}" for name in ("localhost", LOOPBACK)))

    def server_close(self) -> None:
        self.stopping.set()
        self.webhooks.close()
        super().server_close()

    def shown(self, entries: list[Entry], at: str) -> Answer:
        return html(page(entries, held=self.webhooks.held(), fault=self.fault, at=at))


class Handler(BaseHTTPRequestHandler):
    server: Bank
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1  # the answer in one packet

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self.is_for_us():
            self.refuse()
        elif path.startswith("/api/"):
            self.reply(self.tell(path))
        elif path == "/":
            self.reply(self.server.shown(self.server.book.newest_first(), path))
        else:
            entry = self.server.book.find(COLLECTION, unquote(path.removeprefix("/pay/")))
            self.reply(self.server.shown([entry], path) if entry else plain(404, "Not here.\n"))

    def do_POST(self) -> None:
        raw = self.body() if self.is_for_us() else None
        if not self.is_for_us():
            self.refuse()
        elif raw is None:
            self.reply(plain(413, f"The length must be given, and at most {LARGEST_BODY} bytes.\n"))
        elif self.path.startswith("/api/"):
            self.take(self.path, raw)
        else:
            self.reply(self.act(self.path, form_of(raw)))

    # --- the API ---

    def is_authorised(self) -> bool:
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(given, f"Bearer {self.server.key}".encode())

    def tell(self, path: str) -> Answer:
        kind, reference = kind_and_reference(path)
        if not self.is_authorised():
            return error(401, "unauthorised", "The key is wrong.")
        entry = self.server.book.find(kind, reference)
        return json_answer(200, entry.content()) if entry else error(404, "not_found", "No such reference.")

    def take(self, path: str, raw: bytes) -> None:
        kind, _ = kind_and_reference(path)
        if not self.is_authorised():
            self.reply(error(401, "unauthorised", "The key is wrong."))
        elif not kind:
            self.reply(error(404, "no_such_address", "Post to /api/collections or /api/payouts."))
        else:
            self.take_faultily(kind, raw)

    def take_faultily(self, kind: str, raw: bytes) -> None:
        """Takes it as usual, or with the fault that a person chose for the next payout."""
        fault = ""
        if kind == PAYOUT:
            fault, self.server.fault = self.server.fault, ""
        if fault == "refuse":
            self.reply(error(422, "refused", "The bank refuses this payout."))
            return
        answer = error(503, "unavailable", "Later.") if fault == "lost" else self.taken(kind, raw)
        if fault in {"hang", "reset"}:
            self.close_connection = True
            if fault == "hang":
                self.server.stopping.wait(HANG_SECONDS)
        elif fault == "empty":
            self.reply(Answer(200, "application/json", ""))
        else:
            self.reply(error(503, "unavailable", "Later.") if fault == "error" else answer)

    def taken(self, kind: str, raw: bytes) -> Answer:
        facts = object_in(raw)
        if facts is None:
            return error(400, "malformed", "The body is no JSON object.")
        try:
            entry, is_new = self.server.book.take(kind, facts)
        except Faulty as problem:
            return error(422, "invalid", str(problem))
        except Differs as problem:
            return error(409, "reference_used", str(problem))
        say(f"{kind} {printable(entry.reference)}: {'new' if is_new else 'known'}")
        content = entry.content()
        if kind == COLLECTION:
            content["checkout_url"] = f"http://{self.server.hosts[0]}{address_of(entry.reference)}"
        return json_answer(201 if is_new else 200, content)

    # --- what a person does ---

    def act(self, path: str, form: dict[str, str]) -> Answer:
        if path == "/release":
            self.server.webhooks.release()
        elif path == "/fault" and form.get("fault", "") in FAULTS:
            self.server.fault = form.get("fault", "")
        elif path == "/act":
            wrong = self.act_on(form)
            if wrong:
                return plain(400, f"{wrong}\n")
        else:
            return plain(404, "Not here.\n")
        at = form.get("at", "/")
        is_ours = at == "/" or at.startswith("/pay/")
        return Answer(303, "text/plain; charset=utf-8", "", location=at if is_ours else "/")

    def act_on(self, form: dict[str, str]) -> str:
        """Does what the form says; returns what is wrong with it, or ""."""
        entry = self.server.book.find(form.get("kind", ""), form.get("reference", ""))
        action, way = form.get("action", ""), form.get("way", "now")
        if entry is None or action not in ACTIONS[entry.kind] or way not in WAYS:
            return "There is no such action."
        amount, currency = 0, form.get("currency", "").strip().upper() or entry.currency
        if action == "pay":
            typed = parse_amount(form.get("amount", ""), currency) if currency in CURRENCIES else None
            if not typed:
                return "This is no amount of a currency, such as 1250.50 and NGN."
            amount = typed
        self.server.book.act(entry, action, amount_minor=amount, currency=currency)
        say(f"{entry.kind} {printable(entry.reference)}: {action}, {WAYS[way]}")
        self.server.webhooks.tell(entry, way)
        return ""

    # --- HTTP ---

    def is_for_us(self) -> bool:
        """Whether the request names this bank and comes from its own page, or from a program.

        A page of the web, open in a browser on this machine, could otherwise play the bank.
        """
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        return host in self.server.hosts and origin in (None, f"http://{host}")

    def refuse(self) -> None:
        self.close_connection = True  # its body is not read
        hosts = " or ".join(self.server.hosts)
        self.reply(plain(403, f"Only for {hosts}, and not for pages of another origin.\n"))

    def body(self) -> bytes | None:
        """None: it cannot be read, so neither can what follows it on this connection."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > LARGEST_BODY:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def reply(self, answer: Answer) -> None:
        content = answer.text.encode("utf-8", "replace")  # JSON may bring half a surrogate pair
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if answer.location:
            self.send_header("Location", answer.location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: the page asks every other second. What happens is logged as it happens."""


def say(words: str) -> None:
    print(words, flush=True)


def kind_and_reference(path: str) -> tuple[str, str]:
    """Returns collection or payout ("" for neither), and the reference in the address."""
    name, _, reference = path.removeprefix("/api/").partition("/")
    return KINDS.get(name, ""), unquote(reference)


def form_of(raw: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(raw.decode("utf-8", "replace")).items()}


def object_in(raw: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def printable(text: str) -> str:
    """A reference must not be able to steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
