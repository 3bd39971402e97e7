"""Keeps the children of `make run` running, and stops them in the right order."""

import signal
from collections.abc import Callable
from pathlib import Path

from local.children import Backoff, Child, Program, end_orphans, how_it_ended
from local.output import Log, Terminal
from local.processes import ChildFailedError, end_all, signal_group
from local.services import PrivateService

# Together with the services after them the stop takes under 10 s.
PROGRAMS_STOP_SECONDS = 6.0


class Supervisor:
    """Start and restart from the main thread only: children end with the thread that started them."""

    def __init__(self, log_folder: Path, say: Callable[[str], None], terminal: Terminal) -> None:
        self.log_folder = log_folder
        self.say = say
        self.terminal = terminal
        self.logs: list[Log] = []
        self.services: list[PrivateService] = []
        self.programs: list[Program] = []
        self.backoffs: dict[str, Backoff] = {}

    @property
    def children(self) -> list[Child]:
        return [*self.services, *self.programs]

    def open_log(self, name: str, *, shown: bool = True) -> int:
        """The end of a pipe for a child's output."""
        self.logs.append(Log(name, self.log_folder, self.terminal, shown=shown))
        return self.logs[-1].writer

    def add_service(self, service: PrivateService) -> None:
        self.services.append(service)
        self.begin(service)

    def add_program(self, program: Program) -> None:
        self.programs.append(program)
        self.begin(program)

    def begin(self, child: Child) -> None:
        backoff = self.backoffs.setdefault(child.name, Backoff())
        child.start()
        backoff.started()

    def look_after(self) -> None:
        """Notice who has died, start again whose time has come. Services first: the programs need them."""
        for child in self.children:
            if child.is_running:
                continue
            backoff = self.backoffs[child.name]
            if backoff.due_at is None:
                self.note_end(child, backoff)
            if backoff.is_due:
                self.start_again(child, backoff)

    def note_end(self, child: Child, backoff: Backoff) -> None:
        delay = backoff.ended()
        if child.process is None:
            return
        when = f"in {delay:.0f} s" if delay else "now"
        self.say(f"{child.name} {how_it_ended(child.process)}; starting it again {when}.")
        end_orphans(child.process)

    def start_again(self, child: Child, backoff: Backoff) -> None:
        try:
            self.begin(child)
        except ChildFailedError as failure:
            self.say(f"{failure} Next try in {backoff.ended():.0f} s.")

    def stop_all(self) -> None:
        """Stops what uses the database first, and the database last."""
        end_all([program.process for program in self.programs if program.process], PROGRAMS_STOP_SECONDS)
        for service in reversed(self.services):
            service.stop()
        for log in self.logs:
            log.close()

    def kill_all(self) -> None:
        for child in self.children:
            if child.process is not None:
                signal_group(child.process.pid, signal.SIGKILL)
