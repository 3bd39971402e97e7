"""Jaeger of `make run`, where its program is on the PATH and its ports are free."""

import shutil

from local import ports

PAGE = "http://localhost:16686/"
PORTS = (16686, 16685, 4317, 4318)  # its page, its API over gRPC, spans over gRPC and HTTP
SETTINGS = {"TRACING_ENABLED": "true"}  # the default exporter sends to where Jaeger listens


def find() -> str | None:
    """Jaeger 2 only: Jaeger 1 gets no updates any more and listens on every interface."""
    program = shutil.which("jaeger")
    return program if program and all(map(ports.is_free, PORTS)) else None


def command(program: str) -> list[str]:
    """Its built-in configuration: all in one process, traces in memory and gone with it."""
    page, api = ("extensions.jaeger_query.http.endpoint", "extensions.jaeger_query.grpc.endpoint")
    return [program, f"--set={page}=127.0.0.1:16686", f"--set={api}=127.0.0.1:16685"]
