"""One Django site in one of several set-ups, driven through its WSGI callable by lines from stdin.

    python -m benchmarks.request.site bare|libraries|usual|metrics|logs|sentry|tenth|untraced|all|grpc

`serve N`: serve N requests, let what they caused leave, answer `CPU-SECONDS` of all threads. `calls N`: serve
N under cProfile, answer the calls of one. `memory`: MB (PSS). `spans`: how many were exported. Runs also in
.venv-bench, which has nothing of Amani's: only Amani's set-ups may import `observability`.
"""

import cProfile
import io
import os
import pstats
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.request import ours, usual

SETUP = sys.argv[1]
SIGNALS = ours.SETUPS.get(SETUP)  # None: nothing of Amani's
IS_USUAL = SETUP == "usual"
# Packages for development that others load where they find them; production hasn't got them.
NOT_IN_PRODUCTION = ("psutil", "pygments", "rich", "yaml")
DJANGO = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
WARM_UP = 50


def configure() -> None:
    from django.conf import settings

    database = urlsplit(os.environ["DATABASE_URL"])
    settings.configure(
        ROOT_URLCONF="benchmarks.request.urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="nothing here is signed",  # noqa: S106
        MIDDLEWARE=middleware(),
        INSTALLED_APPS=usual.APPS if IS_USUAL else [],
        USE_TZ=True,
        LOGGING=logging_config(),
        DATABASES={
            "default": {
                "ENGINE": usual.BACKEND if IS_USUAL else "django.db.backends.postgresql",
                "NAME": database.path[1:],
                "USER": database.username,
                "PASSWORD": database.password,
                "HOST": database.hostname,
                "PORT": database.port,
                "CONN_MAX_AGE": None,
            }
        },
        **(ours.settings_of(SIGNALS) if SIGNALS else {}),
    )


def middleware() -> list[str]:
    if IS_USUAL:
        return usual.middleware(DJANGO)
    return [*SIGNALS.middleware, *DJANGO] if SIGNALS else DJANGO


def logging_config() -> dict[str, Any]:
    if IS_USUAL:
        return usual.logging_config()
    if SIGNALS and SIGNALS.middleware:
        return ours.logging_config()
    return {"version": 1, "root": {"level": "WARNING"}}


def application() -> Callable[..., Any]:
    from django.core.wsgi import get_wsgi_application

    configure()
    if SETUP == "libraries":  # bare Django with what Amani needs without any signal
        for name in ("celery.app", "redis", "requests"):
            import_module(name)
    if IS_USUAL:
        usual.start(os.environ["HTTP_COLLECTOR"], os.environ["SENTRY_SINK"])
    made: Callable[..., Any] = get_wsgi_application()
    if SIGNALS:
        ours.start(SIGNALS)
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
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
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


def serve(site: Callable[..., Any], count: int) -> None:
    for _ in range(count):
        response = site(environ(), check_status)
        b"".join(response)
        response.close()


def cpu_seconds(site: Callable[..., Any], count: int) -> float:
    """With the work of the threads that send spans: it isn't over before they are done."""
    began = time.process_time()
    serve(site, count)
    flush()
    return time.process_time() - began


def flush() -> None:
    if IS_USUAL:
        usual.flush()
    elif SIGNALS:
        ours.flush()


def calls(site: Callable[..., Any], count: int) -> float:
    """Python calls a request, of which the ones of this driver are the same in every set-up."""
    random.seed(7)  # the ids of traces come from it, and with them which requests are sampled
    profile = cProfile.Profile()
    profile.runcall(serve, site, count)
    flush()
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total / count


def memory() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def answer(site: Callable[..., Any], command: str, argument: str) -> float:
    if command == "memory":
        return memory()
    if command == "spans":
        return ours.exported_spans()
    return {"serve": cpu_seconds, "calls": calls}[command](site, int(argument))


def main() -> None:
    sys.modules.update(dict.fromkeys(NOT_IN_PRODUCTION))  # type: ignore[arg-type]
    site = application()
    serve(site, WARM_UP)
    flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a log line costs the disk is the disk's
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        print(answer(site, command, argument), flush=True)


if __name__ == "__main__":
    main()
