"""Writes the rules of the objectives in deploy/slo.yml, for `make slo`; local.dashboards draws them."""

import sys

from local.slo import OBJECTIVES, RULES
from local.slo.objectives import Wrong, read
from local.slo.rules import rules_file


def main() -> None:
    try:
        objectives = read(OBJECTIVES.read_text())
    except Wrong as error:
        sys.exit(f"deploy/slo.yml: {error}.")
    RULES.write_text(rules_file(objectives))


if __name__ == "__main__":
    main()
