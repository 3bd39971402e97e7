"""TCP ports of this machine."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range of outgoing connections: one of those would take a port between our look and our bind.
CANDIDATES = range(20000, 32000)
found_before: set[int] = set()  # by this process, which may not have bound them yet


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return not answers(port, host)


def answers(port: int, host: str) -> bool:
    """Whether a process answers. macOS lets us bind to a port on which one listens on every address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def find_free_port() -> int:
    """Returns a free port, and no port twice: programs are often started after all of theirs are chosen."""
    for port in random.SystemRandom().sample(CANDIDATES, 200):
        if port not in found_before and is_free(port):
            found_before.add(port)
            return port
    raise RuntimeError(f"No free port among 200 tries between {CANDIDATES.start} and {CANDIDATES.stop}.")
