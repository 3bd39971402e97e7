"""The inbox's HTTP: POST /slack, POST /pagerduty, and the page at /."""

import json
import threading
from collections import deque
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from local.inbox.cards import card_of
from local.inbox.page import Received, page, policy
from local.inbox.vendors import CHANNELS, Answer, AnswerTo, text_answer
from local.ports import LOOPBACK

KEPT_MESSAGES = 200
LARGEST_BODY = 1024 * 1024  # twice what PagerDuty takes
POLICY = policy()


class Parsed(NamedTuple):
    body: dict[str, Any]
    pretty: str


class Inbox(ThreadingHTTPServer):
    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.messages: deque[Received] = deque(maxlen=KEPT_MESSAGES)
        self.total = 0
        self.lock = threading.Lock()
        self.hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}

    def keep(self, channel: str, body: dict[str, Any], pretty: str) -> None:
        card = card_of(channel, body)
        with self.lock:
            self.total += 1
            self.messages.append(Received(channel, datetime.now().astimezone(), card, pretty))
        print(f"{channel}: {card.action or 'message'}, {printable(card.title)}", flush=True)

    def shown(self) -> str:
        with self.lock:
            newest_first, total = list(reversed(self.messages)), self.total
        return page(newest_first, total=total)


class Handler(BaseHTTPRequestHandler):
    server: Inbox
    protocol_version = "HTTP/1.1"  # senders keep their connections
    timeout = 60
    wbufsize = -1  # the answer in one packet

    def do_GET(self) -> None:
        if not self.is_for_us():
            self.refuse()
        elif self.path.partition("?")[0] != "/":
            self.reply(text_answer(404, "Not here. The page is /.\n"))
        else:
            self.reply(Answer(200, "text/html; charset=utf-8", self.server.shown()))

    def do_POST(self) -> None:
        if not self.is_for_us():
            self.refuse()
            return
        raw = self.body()
        if raw is None:
            self.reply(text_answer(413, f"The length must be given, and at most {LARGEST_BODY} bytes.\n"))
        elif self.path not in CHANNELS:
            self.reply(text_answer(404, f"Not here. Post to {' or '.join(CHANNELS)}.\n"))
        else:
            self.reply(self.take(*CHANNELS[self.path], parsed(raw)))

    def is_for_us(self) -> bool:
        """Whether the request names this inbox and comes from its own page, or from a program.

        A page of the web, open in a browser on this machine, could send messages, or read them under a name
        of its own that leads to 127.0.0.1.
        """
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        return host in self.server.hosts and origin in (None, f"http://{host}")

    def refuse(self) -> None:
        self.close_connection = True  # its body is not read
        hosts = " or ".join(sorted(self.server.hosts))
        self.reply(text_answer(403, f"Only for {hosts}, and not for pages of another origin.\n"))

    def take(self, channel: str, answer_to: AnswerTo, message: Parsed | None) -> Answer:
        answer = answer_to(message.body if message else None)
        if message is not None and answer.status < 300:
            self.server.keep(channel, message.body, message.pretty)
        return answer

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
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: the page asks every other second. Messages are logged as they come."""


def parsed(raw: bytes) -> Parsed | None:
    """None for what is no JSON object, or one so deep that it could not be shown."""
    try:
        body = json.loads(raw)
        pretty = json.dumps(body, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return Parsed(body, pretty) if isinstance(body, dict) else None


def printable(text: str) -> str:
    """A label must not be able to steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
