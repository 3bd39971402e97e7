"""Rewrites a PDF in a process of its own, with a bound on its time and memory, and none of our secrets.

    python -m kyc.files.pdf_process < sent.pdf > clean.pdf

A refusal is a line of JSON and REFUSED as exit status.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from threading import Lock

from kyc.files.refusal import Reason, Refused, unreadable

PROJECT = Path(__file__).resolve().parent.parent.parent
REFUSED = 3
CPU_SECONDS = 5
TOTAL_SECONDS = 20  # a busy machine gives it little of its time
MEMORY_BYTES = 1024 * 2**20
COMMAND = [sys.executable, "-E", "-s", "-W", "ignore", "-m", "kyc.files.pdf_process"]
# The worst take 4 seconds and 400 MB: not as many at once as a web process has threads.
one_at_a_time = Lock()


def remade(content: bytes) -> bytes:
    """What `pdf.rewritten` gives, or Refused also when it does not come to an end."""
    try:
        with one_at_a_time:
            done = subprocess.run(  # noqa: S603  (no shell, nothing of the caller's in the command)
                COMMAND,
                input=content,
                capture_output=True,
                timeout=TOTAL_SECONDS,
                cwd=PROJECT,
                env={},
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise too_much() from None
    if done.returncode == REFUSED:
        said = json.loads(done.stdout)
        raise Refused(Reason(said["reason"]), said["message"])
    if done.returncode < 0:  # a signal: its time was up
        raise too_much()
    if done.returncode != 0:
        raise unreadable("PDF")
    return done.stdout


def too_much() -> Refused:
    return Refused(Reason.BOMB, "This PDF takes too long to read. Print it to a new PDF, then send that.")


def main() -> int:
    from kyc.files import pdf  # before the limits: importing needs files and memory

    limit_this_process()
    try:
        result = pdf.rewritten(sys.stdin.buffer.read())
    except Refused as refused:
        sys.stdout.write(json.dumps({"reason": refused.reason, "message": refused.message}))
        return REFUSED
    sys.stdout.buffer.write(result)
    return 0


def limit_this_process() -> None:
    """No file can be written: neither a temporary one nor a core dump, which would be in clear."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main())
