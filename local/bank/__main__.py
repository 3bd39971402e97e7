import os
import sys
from pathlib import Path

from local.bank import KEY_VARIABLE
from local.bank.server import Bank


def main() -> None:
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    Bank(int(sys.argv[1]), key=os.environ[KEY_VARIABLE], file=file).serve_forever()


main()
