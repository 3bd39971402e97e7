"""A stand-in for a vendor: answers POSTs as they do and writes down when they came and what they name.

    python -m benchmarks.sink PORT FILE [MESSAGES_PER_SECOND]

A line for each request: seconds (time.monotonic), status, the alerts' identities. With a rate it answers 429
with Retry-After to what comes sooner.
"""

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

IDENTITY = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    b'{"status":"success"}'
)
TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 12\r\n\r\nrate_limited"
)


@dataclass(frozen=True)
class Arrival:
    at: float
    status: int
    identities: frozenset[str]


def arrivals(file: Path) -> list[Arrival]:
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    return [Arrival(float(at), int(status), frozenset(names)) for at, status, *names in lines]


class Vendor:
    def __init__(self, file: TextIO, messages_per_second: float) -> None:
        self.file = file
        self.interval = 1 / messages_per_second if messages_per_second else 0.0
        self.free_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(await self.answer(reader))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        now = time.monotonic()  # after the last wait: connections must not overtake each other
        taken = now >= self.free_at
        if taken:
            self.free_at = now + self.interval
        names = sorted({name.decode() for name in IDENTITY.findall(body)})
        self.file.write(" ".join([f"{now:.6f}", "200" if taken else "429", *names]) + "\n")
        self.file.flush()
        if not taken:
            return TOO_MANY
        return ACCEPTED if head.startswith(b"post /v2/enqueue") else OK


async def main(port: int, file: Path, messages_per_second: float) -> None:
    with file.open("w") as output:
        vendor = Vendor(output, messages_per_second)
        server = await asyncio.start_server(vendor.serve, "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), rate))
