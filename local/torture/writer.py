"""Writers that post random transfers until they are killed: `python -m local.torture.writer COUNT FOLDER`.

The program forks the writers and forks another one for each that was killed. After each commit a writer
appends the transfer's number to a file, so that the run knows what was answered.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import django

LINE_BYTES = 12
PAUSE_SECONDS = 0.1  # while PostgreSQL is away


def main() -> int:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    numbers = {fork(number, folder, life=0): (number, 0) for number in range(count)}
    while True:
        pid, status = os.wait()
        number, life = numbers.pop(pid)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return 1  # it met what may not happen, and has written a traceback
        numbers[fork(number, folder, life + 1)] = (number, life + 1)


def fork(number: int, folder: Path, life: int) -> int:
    """Starts a writer and returns its process id, which is also the only content of its file `pid-…`."""
    pid = os.fork()
    if pid == 0:
        try:
            write(number, folder, life)
        finally:
            os._exit(1)  # no clean-up of what the parent set up
    (folder / f"pid-{number}").write_text(str(pid))
    return pid


def write(number: int, folder: Path, life: int) -> None:
    """Posts until it is killed. A key names the writer, its life and its attempt, so none comes again."""
    from django.db import connection

    from core.sqlstates import outage_of
    from escrow.ledger import InsufficientFunds
    from local.torture.moves import post_at_random

    answered = os.open(folder / f"answered-{number}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    source = random.Random(f"{number}:{life}")  # noqa: S311  (repeatable, no secret)
    attempt = 0
    while True:
        attempt += 1
        try:
            transfer_id = post_at_random(source, key=f"{number}:{life}:{attempt}")
        except InsufficientFunds:
            continue
        except Exception as error:
            outage = outage_of(error)
            if outage is None:
                raise
            with (folder / f"outages-{number}").open("a") as outages:
                outages.write(f"{outage.reason} {getattr(error.__cause__, 'sqlstate', '')}\n")
            connection.close()
            time.sleep(PAUSE_SECONDS)
            continue
        os.write(answered, f"{transfer_id:<{LINE_BYTES - 1}}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
