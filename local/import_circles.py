"""The contract of import-linter that refuses import circles between modules, also those within functions.

import-linter's own `acyclic_siblings` compares packages, and tests of one package may use those of another.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class NoCircles(Contract):
    """Kept if no module imports itself through others. grimp also reads the imports inside functions."""

    type_name = "no_circles"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001  (its signature)
        imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
        found = circles(imports)
        return ContractCheck(kept=not found, metadata={"circles": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for circle in check.metadata["circles"]:
            output.print_error(" imports ".join(circle), bold=False)


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Returns circles as `[a, b, a]` (a imports b, b imports a), until none is left; changes `imports`."""
    found = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]  # it lists each module before the one that imports it
            found.append(circle)
            imports[circle[0]].discard(circle[1])
        else:
            return found
