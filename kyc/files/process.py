"""Rewrites a file in a separate process with limits on time and memory, and without Amani's environment.

    python -m kyc.files.process application/pdf < sent.pdf > clean.pdf

Its memory is free again when it ends, which that of a decoder in a web process is not. For a refused file the
process prints a line of JSON and exits with the status REFUSED.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

from kyc.files import kinds
from kyc.files.refusal import FileProblem, Reason, unreadable

PROJECT = Path(__file__).resolve().parent.parent.parent
REFUSED = 3
CPU_SECONDS = 8  # the worst PDFs need 4, the worst pictures 3
TOTAL_SECONDS = 20  # more than CPU_SECONDS; a thread of web waits for it
MEMORY_BYTES = 512 * 2**20  # the worst PDFs need 400 MB, the largest pictures 300 MB
NICENESS = 5  # other requests first
COMMAND = [sys.executable, "-E", "-s", "-W", "ignore", "-m", "kyc.files.process"]


class TooBusy(Exception):
    """The file was not rewritten in time, although it did not reach the limit of processor time."""


def remade(content: bytes, kind: str) -> bytes:
    """Returns the rewritten file of that media type.

    Raises FileProblem, also if it needs too much processor time; TooBusy if this machine did not give it that
    time within TOTAL_SECONDS, which says nothing about the file.
    """
    name = kinds.NAMES[kind]
    try:
        done = subprocess.run(  # noqa: S603  (no shell, nothing of the caller's in the command)
            [*COMMAND, kind],
            input=content,
            capture_output=True,
            timeout=TOTAL_SECONDS,
            cwd=PROJECT,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooBusy from None
    if done.returncode == REFUSED:
        said = json.loads(done.stdout)
        raise FileProblem(Reason(said["reason"]), said["message"])
    if done.returncode < 0:  # ended by a signal: the CPU limit
        raise too_much(name)
    if done.returncode != 0:
        raise unreadable(name)
    return done.stdout


def too_much(name: str) -> FileProblem:
    return FileProblem(
        Reason.BOMB, f"This {name} takes too long to read. Make a simpler one, then send that."
    )


def main(kind: str) -> int:
    # Before the limits: importing needs files and memory.
    if kind == kinds.PDF:
        from kyc.files import pdf

        rewrite = pdf.rewritten
    else:
        from kyc.files import images

        rewrite = partial(images.redrawn, kind=kind)
    limit_this_process()
    try:
        result = rewrite(sys.stdin.buffer.read())
    except FileProblem as refused:
        sys.stdout.write(json.dumps({"reason": refused.reason, "message": refused.message}))
        return REFUSED
    sys.stdout.buffer.write(result)
    return 0


def limit_this_process() -> None:
    """Sets the limits. No file can be written, because temporary files and core dumps are not encrypted."""
    os.nice(NICENESS)
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
