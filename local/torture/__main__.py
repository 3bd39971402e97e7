"""`python -m local.torture [--transfers 1000000]`: prints what was lost, and exits with 1 if anything was."""

from __future__ import annotations

import argparse
import sys

from local.temporary import run_folder
from local.torture.run import Plan, Torture


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.torture", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    plan = Plan(transfers=parser.parse_args().transfers)
    with run_folder() as folder:
        result = Torture(folder, plan).run()
    print(f"{result.answered} transfers were answered in {result.seconds:.0f} s, {result.lost} are lost.")
    print(f"Killed: {result.writer_kills} writers, {result.server_kills} times PostgreSQL.")
    print(f"Deadlocks: {result.deadlocks}.")
    for name, value in result.findings.items():
        print(f"{name.replace('_', ' ')}: {value or 0}")
    return 0 if result.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
