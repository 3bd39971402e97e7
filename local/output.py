"""What the children say: each line to the terminal with a short prefix, and to a file of its own."""

import os
import sys
import threading
from pathlib import Path

NAME_WIDTH = 12


class Terminal:
    """Whole lines from several threads. A closed terminal is no reason to stop: the files go on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def say(self, name: str, line: str) -> None:
        with self.lock:
            try:
                sys.stdout.write(f"{name:<{NAME_WIDTH}} | {line}\n")
                sys.stdout.flush()
            except OSError:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the rest of the run


class Log:
    """A pipe to hand to a child, and the thread that reads it for as long as any child holds it open.

    `shown=False`: to the file only, for a server whose every step is not news.
    The log of the run before is kept beside it as NAME.previous.log.
    """

    def __init__(self, name: str, folder: Path, terminal: Terminal, *, shown: bool = True) -> None:
        self.name = name
        self.terminal = terminal
        self.shown = shown
        self.path = folder / f"{name}.log"
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(folder / f"{name}.previous.log")
        reader, self.writer = os.pipe()
        self.thread = threading.Thread(target=self.read, args=(reader,), daemon=True, name=f"log of {name}")
        self.thread.start()

    def read(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as pipe, self.path.open("wb", buffering=0) as file:
            for line in pipe:
                file.write(line)
                if self.shown:
                    self.terminal.say(self.name, line.decode(errors="replace").rstrip())

    def close(self) -> None:
        os.close(self.writer)
        self.thread.join(timeout=2)
