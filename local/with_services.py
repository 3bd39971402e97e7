"""Runs one command beside a temporary PostgreSQL and Valkey: `python -m local.with_services COMMAND …`."""

import subprocess
import sys

from local.temporary import temporary_services


def main() -> int:
    with temporary_services():
        return subprocess.run(sys.argv[1:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
