"""Exits with 0 if the process in this container answers its ping: `python -S -E healthcheck.py PORT`.

Not readiness: a container must not be replaced because its database is away. It imports nothing but socket,
because it runs every few seconds.
"""

import socket
import sys


def main(port: int) -> int:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            connection.sendall(b"GET /api/v1/ping HTTP/1.0\r\nHost: localhost\r\n\r\n")
            first_line = connection.recv(64).partition(b"\r\n")[0].decode(errors="replace")
    except OSError as problem:
        print(f"no answer on port {port}: {problem}")
        return 1
    print(first_line)
    return 0 if first_line.split()[1:2] == ["200"] else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
