"""The load generator: threads with raw sockets, so that it costs little of the two cores it shares."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks import payloads

CONNECTIONS = 4
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Target:
    """Where webhooks are posted. `token` is sent as a Bearer token when there is one."""

    port: int
    path: str
    token: str = ""

    @property
    def head(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "Content-Length: "]).encode()


class Connection:
    """One kept-open connection; `post` returns the status and opens a new one when the server closed it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.head = target.head
        self.socket: socket.socket | None = None

    def post(self, body: bytes) -> int:
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.target.port), TIMEOUT_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.head + b"%d\r\n\r\n" % len(body) + body)
        head, closes = self.read_answer(self.socket)
        if closes:
            self.close()
        return int(head[9:12])

    def read_answer(self, connection: socket.socket) -> tuple[bytes, bool]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.receive(connection)
        head, _, rest = received.partition(b"\r\n\r\n")
        fields = head.lower()
        _, _, length = fields.partition(b"\r\ncontent-length:")
        missing = int(length.split(b"\r\n")[0]) - len(rest)
        while missing > 0:
            missing -= len(self.receive(connection))
        return head, b"connection: close" in fields

    def receive(self, connection: socket.socket) -> bytes:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("The server closed the connection without an answer.")
        return part

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


@dataclass
class Result:
    """What a load came to. `posted_at`: group → when its firing webhook was begun (time.monotonic)."""

    webhooks: int = 0
    refused: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    posted_at: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.webhooks / self.seconds if self.seconds else 0.0


def in_threads(connections: int, work: Callable[[int, Result], None]) -> Result:
    """`work(number, its own result)` in each thread; the results together."""
    results = [Result() for _ in range(connections)]
    threads = [threading.Thread(target=work, args=(number, result)) for number, result in enumerate(results)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Result(seconds=time.monotonic() - began)
    for result in results:
        total.webhooks += result.webhooks
        total.refused += result.refused
        total.latencies += result.latencies
        total.posted_at |= result.posted_at
    return total


def post(connection: Connection, body: bytes, result: Result, began: float) -> None:
    status = connection.post(body)
    result.latencies.append(time.monotonic() - began)
    result.webhooks += 1
    result.refused += not 200 <= status < 300


def fire_and_resolve(target: Target, size: int, seconds: float, seed: int) -> Result:
    """As fast as the server answers: each new group fired, then resolved."""
    return closed_loop(target, size, seconds, seed, ("firing", "resolved"))


def fire(target: Target, seconds: float, seed: int) -> Result:
    """As fast as the server answers: new alerts, one a webhook."""
    return closed_loop(target, 1, seconds, seed, ("firing",))


def closed_loop(target: Target, size: int, seconds: float, seed: int, statuses: tuple[str, ...]) -> Result:
    def work(number: int, result: Result) -> None:
        connection = Connection(target)
        until = time.monotonic() + seconds
        for group in payloads.group_names(seed * CONNECTIONS + number):
            for status in statuses:
                if time.monotonic() > until:
                    connection.close()
                    return
                post(connection, payloads.body(group, size, status), result, time.monotonic())

    return in_threads(CONNECTIONS, work)


def paced(
    target: Target, rate: float, seconds: float, seed: int, statuses: tuple[str, ...] = ("firing",)
) -> Result:
    """`rate` webhooks a second of one alert each, evenly, whatever the server's pace."""
    result = Result()
    connection = Connection(target)
    began = time.monotonic()
    bodies = named_bodies(seed, statuses)
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        group, body = next(bodies)
        now = time.monotonic()
        result.posted_at.setdefault(group, now)
        post(connection, body, result, now)
    result.seconds = time.monotonic() - began
    connection.close()
    return result


def named_bodies(seed: int, statuses: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for group in payloads.group_names(seed):
        for status in statuses:
            yield group, payloads.body(group, 1, status)


def storm(target: Target, groups: list[str], size: int) -> Result:
    """Every group fired once, as fast as the server answers."""

    def work(number: int, result: Result) -> None:
        connection = Connection(target)
        for group in groups[number::CONNECTIONS]:
            now = time.monotonic()
            result.posted_at[group] = now
            post(connection, payloads.body(group, size), result, now)
        connection.close()

    return in_threads(CONNECTIONS, work)
