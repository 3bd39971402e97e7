"""Runs the programs that read and write what is backed up, here or in a container.

`run` of a part is what stands before each command: nothing on the same machine,
`docker compose exec -T postgres` for a container.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

LAST_WORDS = 400


class BackupError(Exception):
    """One line for the operator: what could not be done, and why."""


def read(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Returns what the program wrote. Raises BackupError if it failed."""
    with tempfile.TemporaryFile() as output:
        run(command, environment, stdout=output)
        output.seek(0)
        return output.read().decode()


def write_to(target: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    with target.open("wb") as output:
        run(command, environment, stdout=output)


def read_from(source: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Gives the file to the program. Returns what the program wrote."""
    with source.open("rb") as content, tempfile.TemporaryFile() as output:
        run(command, environment, stdin=content, stdout=output)
        output.seek(0)
        return output.read().decode()


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
) -> None:
    with tempfile.TemporaryFile() as errors:
        process = started(command, environment, stdin=stdin, stdout=stdout, errors=errors)
        require_success(command, process, errors)


def pipe(
    reader: Sequence[str],
    source: Path,
    writer: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    before: bytes,
    after: bytes,
) -> None:
    """Gives the writer `before`, what the reader makes of `source`, and `after`.

    `after` is sent only when the reader has succeeded.
    """
    with (
        source.open("rb") as content,
        tempfile.TemporaryFile() as reader_errors,
        tempfile.TemporaryFile() as writer_errors,
    ):
        sink = started(
            writer, environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, errors=writer_errors
        )
        made = started(reader, environment, stdin=content, stdout=subprocess.PIPE, errors=reader_errors)
        if made.stdout is None or sink.stdin is None:
            raise BackupError("The programs have no pipe.")
        try:
            with made.stdout as text, sink.stdin as into:
                into.write(before)
                shutil.copyfileobj(text, into)
                require_success(reader, made, reader_errors)
                into.write(after)
        except BrokenPipeError:
            made.wait()  # the writer says why it ended
        except BackupError:
            sink.wait()
            raise
        require_success(writer, sink, writer_errors)


def started(
    command: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    errors: IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=errors)
    except OSError as error:
        raise BackupError(f"{command[0]} cannot be started: {error.strerror}.") from error


def require_success(command: Sequence[str], process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    if process.wait() == 0:
        return
    errors.seek(0)
    words = " ".join(errors.read().decode(errors="replace").split())[-LAST_WORDS:]
    raise BackupError(words or f"{' '.join(command)} ended with {process.returncode}.")
