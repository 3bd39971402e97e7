"""Answers health checks of operators, monitors and load balancers.

`ping` answers while the process runs, `readiness` says whether it can serve requests, `health` reports every
check. A check takes at most a second: it runs in a thread of its own, which is abandoned when its server does
not answer, and no second thread is started while it lives. The answers are public, so they contain no host,
user or driver message; those are in the log.
"""

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from time import monotonic
from typing import Any

import psycopg
import redis
import structlog
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.features import DatabaseFeatures
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.sqlstates import DESCRIPTIONS, Reason, reason_of_no_connection
from observability.telemetry.database_hosts import Hosts
from observability.telemetry.metrics.exposition import Answer

log = structlog.get_logger(__name__)

BUDGET_SECONDS = 1.0
READINESS_CACHE_SECONDS = 1.0
WORKER_STALE_SECONDS = 60
[OLDEST_POSTGRESQL, *_] = DatabaseFeatures.minimum_database_version or (0,)

database_hosts = Hosts()
# The first word of Redis's error for a rejected write -> what the check reports.
REFUSED_WRITES = {
    "OOM": "refuses writes: its memory is full (maxmemory)",
    "READONLY": "refuses writes: it is a replica",
    "MISCONF": "refuses writes: it cannot save to its disk",
    "NOREPLICAS": "refuses writes: too few replicas are connected",
    "NOPERM": "refuses writes: the user in REDIS_URL lacks the permission",
    "LOADING": "is loading its data",
    "NOAUTH": "refuses the password in REDIS_URL",
    "WRONGPASS": "refuses the password in REDIS_URL",
}


@dataclass(frozen=True)
class Check:
    """The result of one check. `status` is ok, error, or unknown when the check before it failed."""

    status: str
    time_ms: float
    detail: str


@dataclass
class Run:
    """One run of a probe: its thread, and the checks that are finished."""

    started: float = field(default_factory=monotonic)
    checks: dict[str, Check] = field(default_factory=dict)
    thread: threading.Thread | None = None

    def report(self, name: str, status: str, detail: str) -> None:
        """Stores the result of the check `name`, with the time since the start of the run."""
        self.checks[name] = Check(status, round((monotonic() - self.started) * 1000, 1), detail)


class Probe:
    """Checks one server in a thread of its own. Concurrent callers share one run."""

    def __init__(self, names: tuple[str, ...], ask: Callable[[Run], None]) -> None:
        self.names = names
        self.ask = ask
        self.lock = threading.Lock()
        self.current: Run | None = None

    def start(self) -> Run:
        """Returns the run in progress, or starts one."""
        with self.lock:
            run = self.current
            if run is None or run.thread is None or not run.thread.is_alive():
                self.current = run = Run()
                run.thread = threading.Thread(target=self.ask_safely, args=(run,), daemon=True)
                run.thread.start()
            return run

    def ask_safely(self, run: Run) -> None:
        try:
            self.ask(run)
        except Exception:  # the top of this thread: on any error, the check has failed
            log.exception("health_check_failed", checks=self.names)
            for name in self.names:
                if name not in run.checks:
                    run.report(name, "error", "the check itself failed; see the log")

    def finish(self, run: Run) -> dict[str, Check]:
        """Returns the checks of `run`.

        Waits until BUDGET_SECONDS after its start; a missing one is an error.
        """
        if run.thread is not None:
            run.thread.join(max(0.0, run.started + BUDGET_SECONDS - monotonic()))
        found = dict(run.checks)
        late = Check("error", BUDGET_SECONDS * 1000, "no answer within 1 s")
        return {name: found.get(name, late) for name in self.names}


def ask_database(run: Run) -> None:
    parameters = database_hosts.in_order(connections["default"].get_connection_params())
    parameters |= {"connect_timeout": 2, "application_name": "amani-health", "autocommit": True}
    try:
        with psycopg.connect(**parameters) as connection:
            database_hosts.remember(connection)
            check_writes(run, connection)
            check_migrations(run, connection)
            check_worker(run, connection)
    except psycopg.OperationalError as error:
        log.warning("health_database_unreachable", error=str(error))
        if "database" not in run.checks:
            reason = reason_of_no_connection(error)
            lost = reason is Reason.CONNECTION_LOST
            run.report("database", "error", "cannot connect" if lost else DESCRIPTIONS[reason])
        for name in ("migrations", "worker"):
            if name not in run.checks:
                run.report(name, "unknown", "not checked without the database")


def check_writes(run: Run, connection: psycopg.Connection[Any]) -> None:
    """Checks that the database accepts writes: alerts, sign-in and tasks all need them.

    It writes nothing itself, so it does not notice a full disk.
    """
    row = connection.execute("SELECT current_setting('transaction_read_only')").fetchone()
    if connection.info.server_version < OLDEST_POSTGRESQL * 10_000:
        run.report("database", "error", f"is too old: PostgreSQL {OLDEST_POSTGRESQL} or later is required")
    elif row == ("off",):
        run.report("database", "ok", "answered")
    else:
        run.report("database", "error", DESCRIPTIONS[Reason.READ_ONLY])


def check_migrations(run: Run, connection: psycopg.Connection[Any]) -> None:
    try:
        rows = connection.execute("SELECT app, name FROM django_migrations").fetchall()
    except psycopg.errors.UndefinedTable:
        rows = []
    applied = {(row[0], row[1]) for row in rows}
    missing = [
        key for key, replaced in migrations_on_disk().items() if not is_applied(key, replaced, applied)
    ]
    if missing:
        run.report("migrations", "error", f"{len(missing)} not applied")
    else:
        run.report("migrations", "ok", "all applied")


@cache
def migrations_on_disk() -> Mapping[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Returns each migration of this code, with those that it replaces if it is squashed."""
    # Imported here: processes that answer no health check save 0.6 MB (R7 of docs/benchmarks.md).
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None)
    return {key: tuple(loader.disk_migrations[key].replaces) for key in loader.graph.nodes}


def is_applied(
    key: tuple[str, str], replaced: tuple[tuple[str, str], ...], applied: set[tuple[str, str]]
) -> bool:
    return key in applied or bool(replaced and all(part in applied for part in replaced))


def check_worker(run: Run, connection: psycopg.Connection[Any]) -> None:
    from observability.models import Heartbeat

    query = sql.SQL("SELECT extract(epoch FROM now() - last_seen_at) FROM {} WHERE name = %s").format(
        sql.Identifier(Heartbeat._meta.db_table)  # noqa: SLF001  (Django's documented way)
    )
    try:
        row = connection.execute(query, [Heartbeat.WORKER]).fetchone()
    except psycopg.errors.UndefinedTable:
        run.report("worker", "unknown", "not checked before the migrations")
        return
    if row is None:
        run.report("worker", "error", "never seen")
        return
    age = max(0, int(row[0]))
    run.report("worker", "ok" if age <= WORKER_STALE_SECONDS else "error", f"last seen {age} s ago")


def ask_broker(run: Run) -> None:
    """Checks that Redis accepts writes, by setting a key only if it exists, which it does not.

    Redis rejects this like any other write when it is full, a replica or unable to save. Otherwise it stores
    nothing.
    """
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )
    try:
        client.set("amani:health", "", xx=True)
    except redis.RedisError as error:
        log.warning("health_broker_unreachable", error=str(error))
        run.report("broker", "error", public_reason(error))
    else:
        run.report("broker", "ok", "accepts writes")
    finally:
        client.close()


def public_reason(error: redis.RedisError) -> str:
    """Returns the reason that the answer gives. The error itself may name hosts; it is in the log."""
    code = error.status_code or str(error).partition(" ")[0]
    if code in REFUSED_WRITES:
        return REFUSED_WRITES[code]
    if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
        return "its certificate is not trusted (ssl_ca_certs in REDIS_URL)"
    return "cannot connect or no answer"


database_probe = Probe(("database", "migrations", "worker"), ask_database)
broker_probe = Probe(("broker",), ask_broker)


def run_checks(*probes: Probe) -> dict[str, Check]:
    """Runs `probes` in parallel, within BUDGET_SECONDS, and returns their checks by name."""
    runs = [(probe, probe.start()) for probe in probes]
    return {name: check for probe, run in runs for name, check in probe.finish(run).items()}


def can_serve(checks: Mapping[str, Check]) -> bool:
    """Whether requests can be served: the database accepts writes and every migration is applied."""
    return checks["database"].status == "ok" and checks["migrations"].status == "ok"


def overall(checks: Mapping[str, Check]) -> str:
    """Returns `ok`, `degraded` (requests can be served, but a check fails) or `error`."""
    if not can_serve(checks):
        return "error"
    return "ok" if all(check.status == "ok" for check in checks.values()) else "degraded"


def as_json(checks: Mapping[str, Check]) -> dict[str, dict[str, object]]:
    return {name: asdict(check) for name, check in checks.items()}


@never_cache
@require_safe
def health_view(_request: HttpRequest) -> JsonResponse:
    """Answers with every check and its time: 200 while requests can be served (ok, degraded), else 503."""
    checks = run_checks(database_probe, broker_probe)
    body = {
        "status": overall(checks),
        "version": settings.VERSION,
        "environment": settings.ENVIRONMENT,
        "checks": as_json(checks),
    }
    return JsonResponse(body, status=200 if can_serve(checks) else 503)


class Readiness:
    """Keeps the last checks for READINESS_CACHE_SECONDS, so that several load balancers cost one check."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.checks: dict[str, Check] = {}
        self.expires = 0.0

    def current(self) -> dict[str, Check]:
        with self.lock:
            if monotonic() >= self.expires:
                found = run_checks(database_probe)
                self.checks = {name: found[name] for name in ("database", "migrations")}
                self.expires = monotonic() + READINESS_CACHE_SECONDS
            return self.checks


readiness = Readiness()


@never_cache
@require_safe
def readiness_view(_request: HttpRequest) -> JsonResponse:
    checks = readiness.current()
    ready = can_serve(checks)
    body = {"status": "ready" if ready else "not ready", "checks": as_json(checks)}
    return JsonResponse(body, status=200 if ready else 503)


PONG = json.dumps({"status": "ok"}).encode()


def ping_answer(environ: Mapping[str, Any]) -> Answer:
    if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
        return Answer(405, [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")], b"")
    return Answer(200, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], PONG)


def ping_view(request: HttpRequest) -> HttpResponse:
    answer = ping_answer(request.META)
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
