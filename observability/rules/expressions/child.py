"""Reads expressions in a process with limits on time and memory, and without Amani's environment.

    echo '[{"expression": "up == 0"}]' | python -m observability.rules.expressions.child

Each answer has `split` or `reason`; for a question with a `threshold` it has the changed `expression`,
for one with `conditions` or `facts` it has these.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

CPU_SECONDS = 3  # all shipped rules need 0.3
MEMORY_BYTES = 512 * 2**20


def answer(question: dict[str, Any]) -> dict[str, Any]:
    from observability.rules.expressions import facts, splitting
    from observability.rules.expressions.scanning import TooComplex, require_readable

    expression, threshold = question["expression"], question.get("threshold")
    try:
        require_readable(expression)
        if threshold is not None:
            return {"expression": splitting.with_threshold(expression, float(threshold))}
        if question.get("conditions"):
            return {"conditions": splitting.conditions(expression)}
        if question.get("facts"):
            return {"facts": facts.facts(expression)}
        return {"split": splitting.split(expression)}
    except (splitting.CannotSplit, TooComplex) as problem:
        return {"reason": str(problem)}
    except RecursionError:
        return {"reason": "it is nested too deep"}
    except ValueError as problem:
        return {"reason": f"promql-parser does not know it: {problem}"}


def limit_this_process() -> None:
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    limit_this_process()
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
