import sys

from local.inbox.server import Inbox


def main() -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without emoji
    Inbox(int(sys.argv[1])).serve_forever()


main()
