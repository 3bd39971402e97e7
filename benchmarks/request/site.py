"""One Django site in three set-ups, driven through its WSGI callable by the lines it reads from stdin.

    python -m benchmarks.request.site bare|metrics|amani|usual

A number N: serve N requests and answer `CPU-SECONDS`. `calls N`: serve N under cProfile and answer the calls.
Runs also in .venv-bench, which has nothing of Amani's: only `metrics` and `amani` may import `observability`.
"""

import cProfile
import io
import os
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

SETUP = sys.argv[1]
DJANGO = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
AMANI_METRICS = "observability.middleware.MetricsMiddleware"
MIDDLEWARE = {
    "bare": DJANGO,
    "metrics": [AMANI_METRICS, *DJANGO],
    "amani": ["observability.middleware.RequestLogMiddleware", AMANI_METRICS, *DJANGO],
    "usual": [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *DJANGO,
        "django_structlog.middlewares.RequestMiddleware",
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ],
}
IS_AMANI = SETUP in {"metrics", "amani"}


def configure() -> None:
    from django.conf import settings

    database = urlsplit(os.environ["DATABASE_URL"])
    backend = "django_prometheus.db.backends" if SETUP == "usual" else "django.db.backends"
    settings.configure(
        ROOT_URLCONF="benchmarks.request.urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="nothing here is signed",  # noqa: S106
        MIDDLEWARE=MIDDLEWARE[SETUP],
        INSTALLED_APPS=["django_prometheus", "django_structlog"] if SETUP == "usual" else [],
        USE_TZ=True,
        LOGGING=logging_of_setup(),
        PROMETHEUS_MULTIPROC_DIR=os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""),
        METRICS_TOKEN="",
        METRICS_ALLOWED_NETWORKS=[],
        VERSION="benchmark",
        DATABASES={
            "default": {
                "ENGINE": f"{backend}.postgresql",
                "NAME": database.path[1:],
                "USER": database.username,
                "PASSWORD": database.password,
                "HOST": database.hostname,
                "PORT": database.port,
                "CONN_MAX_AGE": None,
            }
        },
    )


def logging_of_setup() -> dict[str, Any]:
    if SETUP == "usual":
        return usual_logging()
    if IS_AMANI:
        from observability.logging import logging_config

        return logging_config("INFO", "json")
    return {"version": 1, "root": {"level": "WARNING"}}


def usual_logging() -> dict[str, Any]:
    """As django-structlog's own page of set-up has it, JSON to stderr."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.UnicodeDecoder(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processor": structlog.processors.JSONRenderer(),
        "foreign_pre_chain": [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
    }


def application() -> Callable[..., Any]:
    from django.core.wsgi import get_wsgi_application

    configure()
    made: Callable[..., Any] = get_wsgi_application()
    if not IS_AMANI:
        return made
    from observability import database, processes

    database.connect()
    processes.claim("web")
    return made


def environ() -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/items/7/",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def check_status(status: str, _headers: list[tuple[str, str]], _problem: object = None) -> None:
    assert status == "200 OK", status


def serve(site: Callable[..., Any], count: int) -> float:
    """Processor seconds."""
    began = time.process_time()
    for _ in range(count):
        response = site(environ(), check_status)
        b"".join(response)
        response.close()
    return time.process_time() - began


def calls(site: Callable[..., Any], count: int) -> float:
    """Python calls a request, of which the ones of this driver are the same in every set-up."""
    profile = cProfile.Profile()
    profile.runcall(serve, site, count)
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total / count


def main() -> None:
    site = application()
    serve(site, 50)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().rpartition(" ")
        print(calls(site, int(argument)) if command else serve(site, int(argument)), flush=True)


if __name__ == "__main__":
    main()
