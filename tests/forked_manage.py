"""`manage.py` in a process of its own, which inherits the libraries: to import them costs more than the rest.

A server of `multiprocessing` has imported them, nothing of Amani, and forks for each call. What a process
reads while it starts (its environment, Amani's settings and modules) is its own. Where it matters that it
inherits nothing, start `manage.py` as usual.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# None of them needs Django's settings, or reads the environment for more than its own defaults.
LIBRARIES = [
    "celery.app.amqp",
    "celery.app.events",
    "celery.app.log",
    "cryptography.fernet",
    "django.contrib.admin.options",
    "django.core.management.commands.check",
    "django.core.management.commands.shell",
    "django.db.backends.postgresql.base",
    "environs",
    "fido2.server",
    "kombu.transport.redis",
    "markdown_it",
    "opentelemetry.sdk.trace",
    "pgtrigger",
    "pydantic",
    "requests",
    "structlog",
]


def manage(*arguments: str, environment: dict[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs it with these arguments and only these variables; raises TimeoutError after `seconds`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LIBRARIES])
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "stdout"), Path(folder, "stderr")
        process = context.Process(target=run, args=(arguments, environment, said))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"manage.py {' '.join(arguments)} ran for {seconds} s")
        output, errors = (file.read_text() for file in said)
        return subprocess.CompletedProcess(arguments, process.exitcode, output, errors)


def run(arguments: tuple[str, ...], environment: dict[str, str], said: tuple[Path, Path]) -> None:
    """Is the new process: its output goes to the files `said`."""
    for number, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["manage.py", *arguments]
    runpy.run_path("manage.py", run_name="__main__")
