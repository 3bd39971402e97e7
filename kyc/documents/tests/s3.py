"""An S3-compatible server with the operations that django-storages uses."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from observability.tests.stand_in import StandIn

HTTP_ERROR = "<Error><Code>{}</Code></Error>"


class Asked(NamedTuple):
    method: str
    key: str
    headers: dict[str, str]


class Store(StandIn):
    """Objects by key and the requests that came. `fails_on`: methods that are answered with 503."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.stored_at = datetime.now(UTC)
        self.fails_on: frozenset[str] = frozenset()
        self.breaks_after_put = False
        super().__init__()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        self.asked.append(Asked(handler.command, key, dict(handler.headers.items())))
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if handler.command in self.fails_on or bucket != self.bucket:
            return self.reply(handler, 503, HTTP_ERROR.format("SlowDown").encode())
        if handler.command == "PUT":
            return self.put(handler, key, body)
        if handler.command == "DELETE":
            self.objects.pop(key, None)
            return self.reply(handler, 204)
        if not key:
            return self.list(handler, parse_qs(parts.query))
        return self.get(handler, key)

    def put(self, handler: BaseHTTPRequestHandler, key: str, body: bytes) -> None:
        self.objects[key] = body
        if self.breaks_after_put:
            return self.reply(handler, 503, HTTP_ERROR.format("InternalError").encode())
        return self.reply(handler, 200, ETag=f'"{md5(body).hexdigest()}"')  # noqa: S324  (S3's own)

    def get(self, handler: BaseHTTPRequestHandler, key: str) -> None:
        if key not in self.objects:
            return self.reply(handler, 404, HTTP_ERROR.format("NoSuchKey").encode())
        body = self.objects[key]
        if handler.headers.get("Range") and (match := re.match(r"bytes=(\d+)-", handler.headers["Range"])):
            body = body[int(match[1]) :]
        return self.reply(handler, 200, body, ETag='"0"')

    def list(self, handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        found = [key for key in sorted(self.objects) if key.startswith(prefix)]
        files = [key for key in found if "/" not in key[len(prefix) :]]
        folders = sorted({prefix + key[len(prefix) :].split("/")[0] + "/" for key in found} - set(files))
        folders = [folder for folder in folders if folder.rstrip("/") not in files]
        at = self.stored_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{at}</LastModified><Size>1</Size></Contents>"
            for key in files
        ) + "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
        self.reply(
            handler,
            200,
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode(),
        )

    def reply(self, handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Last-Modified", format_datetime(self.stored_at, usegmt=True))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
