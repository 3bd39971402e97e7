"""Configures gunicorn: `gunicorn -c deploy/gunicorn.conf.py`, from any folder."""

import gc
import logging.config
import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

from core.web_worker import WebWorker  # noqa: E402  (it is below ROOT)

wsgi_app = "amani.wsgi:application"
chdir = str(ROOT)
bind = os.environ.get("WEB_BIND", f"127.0.0.1:{os.environ.get('PORT', '8000')}")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
# Django alone decides which proxy headers to trust (TRUST_PROXY_SCHEME, TRUSTED_PROXY_COUNT). gunicorn would
# trust SCRIPT_NAME and three headers about the scheme: from 127.0.0.1, from the addresses in
# FORWARDED_ALLOW_IPS, and from every client on a Unix socket.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
header_map = "drop"  # X_Forwarded_Proto would be taken for X-Forwarded-Proto
control_socket_disable = True  # not used, and a second way to control the server
keepalive = 75  # Alertmanager keeps its connection; a new one for each webhook costs five times as much
worker_connections = 500  # of each process; each may hold 144 KB of a request that no thread has yet
timeout = 60  # without a sign of life from a process; it does not limit requests
graceful_timeout = 30
max_requests = int(os.environ.get("WEB_MAX_REQUESTS", "10000"))
max_requests_jitter = max_requests // 10
if Path("/dev/shm").is_dir():  # noqa: S108  (the workers' heartbeat files must not wait for a disk)
    worker_tmp_dir = "/dev/shm"  # noqa: S108


class AmaniLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Writes gunicorn's own messages as Amani's log lines. The middleware writes the access line."""

    def setup(self, cfg: Config) -> None:
        from django.conf import settings

        self.loglevel = logging.INFO
        logging.config.dictConfig(settings.LOGGING)

    def access(self, *_: Any, **__: Any) -> None:
        pass


logger_class = AmaniLogger


def on_starting(_server: object) -> None:
    """Imports Amani once, before the workers are forked: they share its memory, and one that replaces another
    serves its first request two seconds earlier."""
    import django
    from django.urls import get_resolver

    django.setup(set_prefix=False)
    get_resolver().url_patterns  # noqa: B018  (reads all addresses)
    gc.freeze()  # else the first collection of each worker would copy what they share


class AmaniWorker(WebWorker):
    """Starts telemetry before the application takes requests, so that all metrics are in the worker's files,
    and after the fork, so that the thread that sends spans belongs to the worker.

    gunicorn's `post_fork` is too early: it runs before a worker has its own signal handlers, so a SIGTERM at
    that time would be lost, and the stop would take `graceful_timeout`.
    """

    request_seconds = float(os.environ.get("WEB_REQUEST_SECONDS", "60"))
    begun_at_head = (b"/api/v1/alerts/webhook",)  # a wrong token is refused before the body has arrived

    def load_wsgi(self) -> None:
        from observability.telemetry import processes

        processes.start("web")
        super().load_wsgi()


worker_class = AmaniWorker


def worker_exit(_server: object, _worker: object) -> None:
    """Stops telemetry. It runs in the worker, after its last request."""
    from observability.telemetry import processes

    processes.stop()
