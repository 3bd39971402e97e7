"""`python -m benchmarks [--quick] [--only PART,PART]`."""

import argparse
import os
import sys
import time
from datetime import UTC, datetime

from benchmarks import history, ingest, latency, outages, peer, scrape, storm, uploads
from benchmarks.ledger import measure as ledger
from benchmarks.ledger import snapshot
from benchmarks.plan import FULL, QUICK
from benchmarks.request import measure as request
from benchmarks.servers import stage
from benchmarks.table import Table
from local.temporary import run_folder

PARTS = {
    "ingest": ingest.measure,
    "history": history.measure,
    "latency": latency.measure,
    "outages": outages.measure,
    "storm": storm.measure,
    "request": request.measure,
    "scrape": scrape.measure,
    "uploads": uploads.measure,
    "ledger": ledger.measure,
    "snapshot": snapshot.measure,
}


def main() -> int:
    arguments = parse()
    plan = QUICK if arguments.quick else FULL
    began = time.monotonic()
    peer_problem = peer.install()
    table = Table()
    with run_folder() as folder, stage(folder) as running:
        for name in arguments.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            table.rows += PARTS[name](running, plan, peer_problem)
    table.notes = notes(arguments.quick, peer_problem, time.monotonic() - began)
    print(table)
    return 1 if table.missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds and small storms, for orientation")
    parser.add_argument(
        "--only", type=chosen, default=list(PARTS), help=f"comma separated: {','.join(PARTS)}"
    )
    return parser.parse_args()


def chosen(text: str) -> list[str]:
    names = text.split(",")
    unknown = set(names) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    return names


def notes(quick: bool, peer_problem: str, seconds: float) -> list[str]:  # noqa: FBT001
    kind = "quick run, for orientation only" if quick else "full run"
    lines = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {kind}, {seconds:.0f} s."]
    if peer_problem:
        lines.append(f"The peers were not run: {peer_problem}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
