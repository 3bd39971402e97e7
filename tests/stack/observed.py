"""A whole Amani with everything on: traces go to an OTLP receiver, errors to Bugsink, calls to a vendor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateValkey
from observability.tests.otlp import OtlpReceiver
from observability.tests.vendors import Reply, Vendor
from observability.tests.waiting import wait_until
from tests.installation import Installation
from tests.stack.bugsink import Bugsink, Project

ROUTE = "/test/queues"
TASK = "tests.call_and_fail"  # what the route queues: calls the vendor, then fails


@dataclass(frozen=True)
class Observed:
    installation: Installation
    receiver: OtlpReceiver
    vendor: Vendor
    project: Project

    def start(self) -> None:
        """Web and worker, without beat. Each request is sampled."""
        self.installation.valkey.start()
        self.installation.migrate()
        for program in (self.installation.web, self.installation.worker):
            program.start()
        assert wait_until(self.installation.serves), self.installation.log("web")


@contextmanager
def observed(
    folder: Path, postgres: PrivatePostgres, bugsink: Bugsink, database: str, protocol: str = "http/protobuf"
) -> Iterator[Observed]:
    """Not started yet: its settings may still change."""
    postgres.start()
    with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database} OWNER amani".encode())
    valkey, vendor = PrivateValkey(folder / "valkey", find_free_port()), Vendor(Reply())
    project = bugsink.new_project()
    with OtlpReceiver() as receiver:
        installation = Installation(
            folder,
            postgres,
            valkey,
            database,
            TRACING_ENABLED="true",
            TRACING_EXPORTER="otlp",
            TRACING_SAMPLE_RATE="1",
            OTLP_PROTOCOL=protocol,
            OTLP_ENDPOINT=receiver.grpc_url if protocol == "grpc" else receiver.http_url,
            OTEL_BSP_SCHEDULE_DELAY="200",
            SENTRY_DSN=project.dsn,
            TEST_VENDOR_URL=vendor.url,
        )
        try:
            yield Observed(installation, receiver, vendor, project)
        finally:
            installation.stop()
            valkey.remove()
            vendor.close()
