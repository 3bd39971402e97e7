"""Rewrites a PDF in a separate process with limits on time and memory, and without Amani's environment.

    python -m kyc.files.pdf_process < sent.pdf > clean.pdf

For a refused PDF the process prints a line of JSON and exits with the status REFUSED.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from threading import Lock

from kyc.files.refusal import FileProblem, Reason, unreadable

PROJECT = Path(__file__).resolve().parent.parent.parent
REFUSED = 3
CPU_SECONDS = 5
TOTAL_SECONDS = 20  # more than CPU_SECONDS, for a busy machine
MEMORY_BYTES = 1024 * 2**20
COMMAND = [sys.executable, "-E", "-s", "-W", "ignore", "-m", "kyc.files.pdf_process"]
# The worst PDFs need 4 seconds and 400 MB, so threads of a web process rewrite one at a time.
one_at_a_time = Lock()


def remade(content: bytes) -> bytes:
    """Returns the result of `pdf.rewritten`. Raises FileProblem, also if it takes too long."""
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
        raise FileProblem(Reason(said["reason"]), said["message"])
    if done.returncode < 0:  # ended by a signal: the CPU limit
        raise too_much()
    if done.returncode != 0:
        raise unreadable("PDF")
    return done.stdout


def too_much() -> FileProblem:
    return FileProblem(Reason.BOMB, "This PDF takes too long to read. Print it to a new PDF, then send that.")


def main() -> int:
    from kyc.files import pdf  # before the limits: importing needs files and memory

    limit_this_process()
    try:
        result = pdf.rewritten(sys.stdin.buffer.read())
    except FileProblem as refused:
        sys.stdout.write(json.dumps({"reason": refused.reason, "message": refused.message}))
        return REFUSED
    sys.stdout.buffer.write(result)
    return 0


def limit_this_process() -> None:
    """Sets the limits. No file can be written, because temporary files and core dumps are not encrypted."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main())
