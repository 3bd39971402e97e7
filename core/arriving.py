"""Collects a request as it arrives, and limits how threads wait for what is missing of it."""

from __future__ import annotations

import math
import re
import select
import socket
import time
from threading import Semaphore
from typing import Any

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 64 * 1024  # bytes
# Bytes. DATA_UPLOAD_MAX_MEMORY_SIZE is the same, so that ordinary routes refuse a longer body unread.
LONGEST_COLLECTED_BODY = 64 * 1024
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r", re.IGNORECASE)
# Chunks have no known length, and who sends Expect sends its body only after an answer.
OTHER_FRAMING = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)


class NoPlace(OSError):
    """As many threads as may do so wait for bodies already."""


class Arrival:
    """What has arrived of one request.

    It only says when a thread can begin; what the bytes mean is for gunicorn's parser to say. A thread can
    begin when the head is complete and also its body, if it is announced as a short one. A longer body, or
    one whose path is in `begun_at_head`, waits for the application, which may refuse it unread.
    """

    def __init__(self, begun_at_head: tuple[bytes, ...] = ()) -> None:
        self.began_at = time.monotonic()
        self.begun_at_head = begun_at_head
        self.data = bytearray()
        self.has_head = False
        self.collected = 0  # bytes that a thread needs to begin
        self.whole: float = 0  # bytes of the whole request; infinite when it does not say

    def add(self, data: bytes) -> None:
        searched = max(0, len(self.data) - len(END_OF_HEAD) + 1)
        self.data += data
        if not self.has_head and (end := self.data.find(END_OF_HEAD, searched)) >= 0:
            self.has_head = True
            self.read_head(bytes(self.data[: end + len(END_OF_HEAD)]))

    def read_head(self, head: bytes) -> None:
        self.collected = len(head)
        if OTHER_FRAMING.search(head):
            self.whole = math.inf
            return
        length = CONTENT_LENGTH.search(head)
        body = int(length[1]) if length else 0
        self.whole = len(head) + body
        target = head.partition(b"\r\n")[0]
        if body <= LONGEST_COLLECTED_BODY and not any(path in target for path in self.begun_at_head):
            self.collected = len(head) + body

    @property
    def is_ready(self) -> bool:
        return self.has_head and len(self.data) >= self.collected

    @property
    def is_whole(self) -> bool:
        return self.has_head and len(self.data) >= self.whole

    @property
    def is_too_long(self) -> bool:
        return not self.has_head and len(self.data) > LONGEST_HEAD


class ClientSocket(socket.socket):
    """A client's connection, as a thread reads from it: within the request's deadline, and from a place.

    `places` has one place for each thread that may wait for a body; a trusted sender needs none. Reading
    raises TimeoutError after the deadline, and NoPlace when a body would have to be waited for and no place
    is free.
    """

    def __init__(self, accepted: socket.socket, places: Semaphore) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.settimeout(0)
        self.places = places
        self.deadline = 0.0  # on the monotonic clock
        self.is_whole = False  # the request that a thread has
        self.is_trusted = False
        self.request: Any = None  # gunicorn's, which ships no types

    def begin(self, arrival: Arrival, deadline: float) -> None:
        """Prepares the socket for the thread that reads what has not arrived yet."""
        self.deadline = deadline
        self.is_whole = arrival.is_whole
        self.is_trusted = False

    def end(self) -> None:
        """Lets nothing wait for the rest of a request that has been answered."""
        self.deadline = 0.0

    def receive(self, size: int) -> bytes:
        """Returns at most `size` bytes that are there, b"" at the end. Raises BlockingIOError for none."""
        return super().recv(size, socket.MSG_DONTWAIT)

    def recv(self, size: int, flags: int = 0) -> bytes:
        try:
            return super().recv(size, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.is_trusted or self.deadline <= time.monotonic():
                return self.wait(size, flags)
        if not self.places.acquire(blocking=False):
            raise NoPlace
        try:
            return self.wait(size, flags)
        finally:
            self.places.release()

    def wait(self, size: int, flags: int) -> bytes:
        timeout = self.gettimeout()
        remaining = min(self.deadline - time.monotonic(), math.inf if timeout is None else timeout)
        poll = select.poll()
        poll.register(self, select.POLLIN)
        if remaining <= 0 or not poll.poll(math.ceil(remaining * 1000)):
            message = "The request did not arrive in time."
            raise TimeoutError(message)
        return super().recv(size, flags)
