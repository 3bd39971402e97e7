import argparse
import os
from pathlib import Path

from local.bank import KEY_VARIABLE
from local.bank.server import Bank
from local.ports import LOOPBACK


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="local.bank",
        description=f"The key is read from {KEY_VARIABLE}, or the file in {KEY_VARIABLE}_FILE.",
    )
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path, nargs="?", help="where it keeps what it knows; default: in memory")
    parser.add_argument("--listen", default=LOOPBACK, help="the address to bind (default: %(default)s)")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="further names that requests may have; buyers get the first for their page",
    )
    parser.add_argument(
        "--amani", default="", metavar="URL", help="where Amani takes webhooks, if not at its own address"
    )
    return parser.parse_args()


def key() -> str:
    file = os.environ.get(f"{KEY_VARIABLE}_FILE")
    return Path(file).read_text() if file else os.environ[KEY_VARIABLE]


def main() -> None:
    given = arguments()
    bank = Bank(
        given.port, key=key(), file=given.file, listen=given.listen, hosts=given.host, amani=given.amani
    )
    bank.serve_forever()


main()
