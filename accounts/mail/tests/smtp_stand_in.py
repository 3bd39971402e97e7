"""A fake mail server over real SMTP: plain, STARTTLS or TLS; fails on request."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from observability.tests.waiting import PATIENCE_SECONDS

USER, PASSWORD = "amani", "mail-password-0123456789"
Encryption = Literal["none", "starttls", "implicit"]
Hang = Literal["", "greeting", "trickle", "content"]


@dataclass
class Received:
    sender: str
    recipients: list[str]
    content: str
    encrypted: bool
    user: str


@dataclass
class Conversation:
    encrypted: bool = False
    user: str = ""
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class SmtpStandIn:
    """`answers` holds replies that are given instead, by command; GREETING and CONTENT are two more.

    `hangs`: it accepts and never answers (`greeting`), sends a byte now and then (`trickle`), or takes the
    mail and never says so (`content`), until `works()`.
    """

    def __init__(self, encryption: Encryption = "none", certificate: Path | None = None) -> None:
        self.encryption = encryption
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate is not None:
            self.context.load_cert_chain(certificate)
        self.wants_login = False
        self.reset()
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.port: int = self.server.server_address[1]
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def reset(self) -> None:
        """As new: has received nothing, and works."""
        self.hangs: Hang = ""
        self.released = threading.Event()
        self.connected = threading.Semaphore(0)  # one for each connection
        self.reached = threading.Semaphore(0)  # one for each time that it hangs
        self.received: list[Received] = []
        self.answers: dict[str, deque[str]] = defaultdict(deque)

    def hang(self, where: Hang = "greeting") -> None:
        self.hangs = where
        self.released = threading.Event()

    def works(self) -> None:
        """Closes connections from now on, also those that wait for a response."""
        self.hangs = ""
        self.released.set()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def handler(self) -> type[socketserver.BaseRequestHandler]:
        stand_in = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                stand_in.connected.release()
                try:
                    stand_in.talk(self.request)
                except (OSError, EOFError):
                    pass  # the client has gone, or does not trust the certificate
                finally:
                    self.request.close()

        return Handler

    # --- The conversation ---

    def talk(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        if self.hangs in ("greeting", "trickle"):
            self.keep_waiting(connection)
            return
        state = Conversation()
        if self.encryption == "implicit":
            connection = self.context.wrap_socket(connection, server_side=True)
            state.encrypted = True
        try:
            self.reply(connection, self.answer("GREETING", "220 stand-in ESMTP"))
            while self.step(connection, state):
                if state.encrypted and not isinstance(connection, ssl.SSLSocket):
                    connection = self.context.wrap_socket(connection, server_side=True)
        finally:
            connection.close()

    def keep_waiting(self, connection: socket.socket) -> None:
        self.reached.release()
        released = self.released
        if self.hangs == "trickle":
            connection.sendall(b"220")
            while not released.wait(0.05):
                connection.sendall(b"-")
        else:
            released.wait(PATIENCE_SECONDS)

    def step(self, connection: socket.socket, state: Conversation) -> bool:
        """Reads a command and answers it; False at the end."""
        line = read_line(connection)
        command = line.split(" ", 1)[0].upper()
        reply = self.answer(command, "")
        if reply:
            self.reply(connection, reply)
            return not reply.startswith("421")
        match command:
            case "EHLO" | "HELO":
                self.reply(connection, self.greeting(state))
            case "STARTTLS":
                self.reply(connection, "220 Go ahead")
                state.encrypted = True
            case "AUTH":
                self.reply(connection, log_in(line, state))
            case "MAIL":
                allowed = state.user or not self.wants_login
                state.sender = address_in(line)
                self.reply(connection, "250 OK" if allowed else "530 5.7.0 Authentication required")
            case "RCPT":
                state.recipients.append(address_in(line))
                self.reply(connection, "250 OK")
            case "DATA":
                self.reply(connection, "354 Go ahead")
                return self.take(connection, state)
            case "QUIT":
                self.reply(connection, "221 Bye")
                return False
            case _:
                self.reply(connection, "250 OK")
        return True

    def greeting(self, state: Conversation) -> str:
        offers = ["stand-in"]
        if self.encryption == "starttls" and not state.encrypted:
            offers.append("STARTTLS")
        if self.wants_login and (state.encrypted or self.encryption == "none"):
            offers.append("AUTH PLAIN")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    def take(self, connection: socket.socket, state: Conversation) -> bool:
        lines = []
        while (line := read_line(connection)) != ".":
            lines.append(line.removeprefix("."))
        reply = self.answer("CONTENT", "250 2.0.0 Queued")
        if reply.startswith("2"):
            content = "\n".join(lines)
            self.received.append(
                Received(state.sender, state.recipients, content, state.encrypted, state.user)
            )
        if self.hangs == "content":
            self.keep_waiting(connection)
            return False
        self.reply(connection, reply)
        return True

    def answer(self, command: str, usual: str) -> str:
        planned = self.answers[command]
        return planned.popleft() if planned else usual

    def reply(self, connection: socket.socket, text: str) -> None:
        connection.sendall(f"{text}\r\n".encode())


def read_line(connection: socket.socket) -> str:
    line = bytearray()
    while not line.endswith(b"\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise EOFError
        line += byte
    return line[:-2].decode()


def address_in(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


def log_in(line: str, state: Conversation) -> str:
    _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
    if (user, password) != (USER, PASSWORD):
        return f"535 5.7.8 No, {user}"
    state.user = user
    return "235 2.7.0 Welcome"


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key in one file. It is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
