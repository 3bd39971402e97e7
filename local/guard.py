"""Turns into one program that dies with its parent, optionally under another user.

    python -S -E guard.py PARENT_PID DEATH_SIGNAL USER PROGRAM [ARGUMENT ...]     (USER "-": stay who we are)

A separate program, because doing this between fork and exec (`preexec_fn`) may deadlock in a process with
threads. Runs without site-packages and imports nothing of Amani. Where the kernel has no parent-death signal
(macOS) the program is started all the same.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chdir("/")  # the folder we come from may be closed to that user
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with(parent: int, death_signal: int) -> None:
    """After `become`: a change of user clears the signal."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The process that started this one has gone.")


def main(arguments: list[str]) -> None:
    parent, death_signal, user, *command = arguments
    if user != "-":
        become(user)
    die_with(int(parent), int(death_signal))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
