"""An OTLP trace receiver over HTTP and over gRPC: keeps what it receives, and answers as the test sets it.

with OtlpReceiver() as receiver:
    ...  # export to receiver.http_url or receiver.grpc_url
    receiver.wait_for(lambda spans: any(span.name == "GET /x" for span in spans))
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from observability.tests.otlp_spans import Span, spans_in
from observability.tests.waiting import PATIENCE_SECONDS, wait_until

PATH = "/v1/traces"
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GRPC_THREADS = 32  # so many calls can hang at the same time
ANSWER: bytes = ExportTraceServiceResponse().SerializeToString()

Mode = Literal["ok", "refuse", "hang"]


@dataclass(frozen=True)
class Received:
    """One call, taken or not. `raw` is the message as sent, unzipped; header names are in lower case."""

    protocol: Literal["http", "grpc"]
    raw: bytes
    headers: dict[str, str]
    mode: Mode


class OtlpReceiver:
    """`mode` may be set at any time: "ok" takes spans, "refuse" answers 503 or UNAVAILABLE, "hang" holds each
    call until the mode changes, and refuses it then."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.current_mode: Mode = "ok"
        self.calls: list[Received] = []
        self.taken: list[Span] = []
        self.malformed = 0
        self.http = http_server(self)
        self.grpc, self.grpc_port = grpc_server(self)

    @property
    def http_url(self) -> str:
        """Without /v1/traces, as in OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def traces_url(self) -> str:
        """With /v1/traces, as the HTTP exporter's own `endpoint` wants it."""
        return self.http_url + PATH

    @property
    def grpc_url(self) -> str:
        return f"http://127.0.0.1:{self.grpc_port}"

    # --- how it answers ---

    @property
    def mode(self) -> Mode:
        return self.current_mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        with self.lock:
            self.current_mode = mode
            self.release.set()
            self.release = threading.Event()

    def accept(self, protocol: Literal["http", "grpc"], raw: bytes, headers: dict[str, str]) -> bool:
        """Keep a call. False: refuse it. Raises DecodeError when it is no OTLP."""
        with self.lock:
            mode, release = self.current_mode, self.release
            self.calls.append(Received(protocol, raw, headers, mode))
        if mode == "hang":
            release.wait(PATIENCE_SECONDS)
        if mode != "ok":
            return False
        try:
            spans = spans_in(raw)
        except DecodeError:
            with self.lock:
                self.malformed += 1
            raise
        with self.lock:
            self.taken.extend(spans)
        return True

    # --- what it received ---

    def spans(self) -> list[Span]:
        """What was taken; not what was refused."""
        with self.lock:
            return list(self.taken)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans() if span.name == name]

    def requests(self) -> list[Received]:
        """Every call, the refused and the hanging too."""
        with self.lock:
            return list(self.calls)

    def count(self, mode: Mode) -> int:
        """How many calls came while the mode was `mode`."""
        return sum(call.mode == mode for call in self.requests())

    def everything(self) -> bytes:
        """Bodies and headers of every call, to search for what must not be there."""
        return b"\n".join(
            part for call in self.requests() for part in (call.raw, repr(call.headers).encode())
        )

    def wait_for(
        self, condition: Callable[[list[Span]], object], seconds: float = PATIENCE_SECONDS
    ) -> list[Span]:
        """All spans, as soon as `condition` holds for them."""
        met = wait_until(lambda: bool(condition(self.spans())), seconds)
        found = self.spans()
        assert met, f"These spans came within {seconds} s: {[span.name for span in found]}"
        return found

    def wait_for_span(self, name: str, seconds: float = PATIENCE_SECONDS) -> Span:
        """The first span of that name."""
        self.wait_for(lambda spans: any(span.name == name for span in spans), seconds)
        return self.named(name)[0]

    def forget(self) -> None:
        """As new: nothing received, everything taken."""
        self.mode = "ok"
        with self.lock:
            self.calls, self.taken, self.malformed = [], [], 0

    # --- life ---

    def close(self) -> None:
        self.mode = "refuse"
        self.http.shutdown()
        self.http.server_close()
        self.grpc.stop(0).wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def http_server(receiver: OtlpReceiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: 40 ms for each answer otherwise

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            try:
                answer(self, self.status_for(body))
            except OSError:
                self.close_connection = True  # the exporter gave up

        def status_for(self, body: bytes) -> int:
            if self.path != PATH:
                return 404
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                raw = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
                return 200 if receiver.accept("http", raw, headers) else 503
            except (DecodeError, gzip.BadGzipFile):
                return 400

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def answer(handler: BaseHTTPRequestHandler, status: int) -> None:
    body = ANSWER if status == 200 else b""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/x-protobuf")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def grpc_server(receiver: OtlpReceiver) -> tuple[grpc.Server, int]:
    """The server and its port. Messages stay bytes, so that what was sent can be kept as it was."""

    def export(raw: bytes, context: grpc.ServicerContext) -> bytes:
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        try:
            accepted = receiver.accept("grpc", raw, headers)
        except DecodeError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if not accepted:
            context.abort(grpc.StatusCode.UNAVAILABLE, "The test set the receiver to refuse.")
        return ANSWER

    service, method = METHOD.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(export)}
    server = grpc.server(ThreadPoolExecutor(GRPC_THREADS), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
