"""`make mutants`: do the tests notice a decision that was changed?

mutmut changes one expression after the other in the modules of mutants.toml (a comparison moved, a condition
negated, an argument dropped) and runs, for each, the tests that mutants.toml names beside the module. This
prints how many of these mutants a test noticed, and shows those that none did and that have no reason in
mutants.toml. Exits with 1 when less than 90 % were noticed.

Arguments: beginnings of the modules' paths, all of them when there is none; `--left` runs again only the
mutants that the last run left unnoticed, which is what one wants after writing a test. `--function NAME` (or
`Class.method`, several times) runs a part of a module that has too many.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path

from local.environments import Environment
from local.temporary import temporary_services

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "mutants.toml"
FOLDER = ROOT / ".run" / "mutants"
GOAL_PERCENT = 90
ENVIRONMENT = Environment(".venv-mutants", ROOT / "local" / "requirements-mutants.txt")
MUTMUT = str(Path(ENVIRONMENT.python).with_name("mutmut"))
PACKAGES = ("core", "accounts", "kyc", "escrow", "observability")
# What tests and code read besides the packages; mutmut copies it beside the mutated code.
FOLDERS = ("amani", "local", "deploy", "docs", "tests")
FILES = ("manage.py", "README.md", ".env.example")
# In place of pytest-django's fixture; mutants do not change the schema.
DATABASE = "\n\nfrom local.mutants_database import django_db_setup\n"
ORDER = ("-p", "local.mutants_order")
# Wordings are no decisions: log lines, and the texts of exceptions.
NOT_MUTATED = (r"\blog(ger)?\.\w+\(", r"raise [A-Z]\w*\(f?[\"']", r"^\s*f?\"[^\"]*\"$")
SPINNER = tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NOTICED = ("killed", "timeout", "segfault")


@dataclass(frozen=True)
class Accepted:
    """A mutant that no test has to notice: `function` is its name in the module, `change` its diff."""

    function: str
    change: str
    reason: str


@dataclass(frozen=True)
class Module:
    """One deciding module and the tests that decide whether it is right, as paths from the root."""

    path: str
    tests: tuple[str, ...]
    accepted: tuple[Accepted, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.path.removesuffix(".py").replace("/", ".")


@dataclass(frozen=True)
class Result:
    """What a run found out about one module; `left` are the unnoticed mutants without a reason."""

    module: Module
    mutants: int
    noticed: int
    accepted: int
    left: tuple[str, ...]


def modules() -> list[Module]:
    """Returns what mutants.toml lists, in its order."""
    listed = tomllib.loads(LIST.read_text())
    return [
        Module(
            path=path,
            tests=tuple(entry["tests"]),
            accepted=tuple(Accepted(**accepted) for accepted in entry.get("accepted", ())),
        )
        for path, entry in listed.items()
    ]


def configuration(module: Module) -> str:
    """Returns the project's pyproject.toml with mutmut's settings for one module."""
    settings = {
        "source_paths": PACKAGES,
        "only_mutate": [module.path],
        "also_copy": (*FOLDERS, *FILES, "conftest.py"),
        "do_not_mutate_patterns": NOT_MUTATED,
        "pytest_add_cli_args_test_selection": module.tests,
        "pytest_add_cli_args": ["-p", "no:xdist", "-p", "no:cacheprovider", *ORDER],
        "timeout_constant": 20.0,  # seconds, times mutmut's 15: a busy machine is no timeout
        # Tests leave threads and connections behind, which a fork of their process would share.
        "process_isolation": "forkserver",
        "use_git_change_detection": False,
        "on_dependency_change": "ignore",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join([(ROOT / "pyproject.toml").read_text(), "[tool.mutmut]", *lines, ""])


def prepare(module: Module) -> None:
    """Makes the folder in which mutmut runs: a copy, so that the checkout may change meanwhile."""
    shutil.rmtree(module.folder, ignore_errors=True)
    for name in (*PACKAGES, *FOLDERS):
        shutil.copytree(ROOT / name, module.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, module.folder)
    (module.folder / "conftest.py").write_text((ROOT / "conftest.py").read_text() + DATABASE)
    (module.folder / module.path).write_text(decorated_afterwards((ROOT / module.path).read_text()))
    (module.folder / "pyproject.toml").write_text(configuration(module))


def decorated_afterwards(code: str) -> str:
    """Returns the code with the decorators of a function as a statement after it: `f = atomic(f)`.

    That means the same, and mutmut leaves decorated functions as they are.
    """
    lines = code.splitlines()
    for node in reversed(ast.parse(code).body):
        if isinstance(node, FUNCTIONS) and node.decorator_list:
            value = node.name
            for decorator in reversed(node.decorator_list):
                value = f"{ast.unparse(decorator)}({value})"
            lines.insert(node.end_lineno or 0, f"\n\n{node.name} = {value}")
            del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join([*lines, ""])


def refresh(module: Module) -> None:
    """Replaces the tests in the copy by those of the checkout; mutmut keeps what it knows of the mutants."""
    for name in PACKAGES:
        for source in (ROOT / name).glob("**/tests/**/*.py"):
            copy = module.folder / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def mutmut(module: Module, *arguments: str) -> str:
    """Runs mutmut in the module's folder and returns what it printed; ends the program when it fails."""
    done = subprocess.run(
        [MUTMUT, *arguments],
        cwd=module.folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if not line.startswith(SPINNER)]
        sys.exit("\n".join([f"mutmut {' '.join(arguments)} failed for {module.path}:", *said[-60:]]))
    return done.stdout


def statuses(module: Module) -> dict[str, str]:
    """Returns mutmut's word on each mutant, by the mutant's name."""
    lines = mutmut(module, "results", "--all", "true").splitlines()
    found = (line.strip().rpartition(": ") for line in lines if ": " in line)
    return {name: status for name, _, status in found}


def function_of(mutant: str) -> str:
    """Returns the function that a mutant changes, from mutmut's name for it: `function` or `Class.method`."""
    mangled = mutant.rpartition(".")[2].rpartition("__mutmut_")[0]
    return mangled.removeprefix("x_") if mangled.startswith("x_") else mangled[2:].replace("ǁ", ".")


def mutants_of(module: Module, functions: Iterable[str]) -> list[str]:
    """Returns mutmut's patterns for all mutants of these functions of the module."""
    dotted = module.path.removesuffix(".py").replace("/", ".")
    mangled = [f"xǁ{name.replace('.', 'ǁ')}" if "." in name else f"x_{name}" for name in functions]
    return [f"{dotted}.{name}__mutmut_*" for name in mangled]


def changes_of(mutated: str) -> dict[str, str]:
    """Returns what each mutant changes, by its name without the module, from the code that mutmut wrote.

    That code has the original of each function and a copy for each of its mutants. A change is the lines
    that go and those that come, without their indentation.
    """
    lines = mutated.splitlines()
    functions = {
        node.name: [
            line.strip().replace(node.name, function_of(node.name).rpartition(".")[2])
            for line in lines[node.lineno - 1 : node.end_lineno]
        ]
        for node in ast.walk(ast.parse(mutated))
        if isinstance(node, FUNCTIONS) and "__mutmut_" in node.name
    }
    return {
        name: "\n".join(
            line for line in ndiff(functions[f"{original}__mutmut_orig"], body) if line[0] in "-+"
        )
        for name, body in functions.items()
        for original, _, number in [name.partition("__mutmut_")]
        if number != "orig"
    }


def judge(module: Module, found: dict[str, str]) -> Result:
    """Sorts the mutants of one module into noticed, accepted and left."""
    unnoticed = [name for name, status in found.items() if status not in NOTICED]
    reasons = {(accepted.function, accepted.change.strip()) for accepted in module.accepted}
    changes = changes_of((module.folder / "mutants" / module.path).read_text()) if unnoticed else {}
    left, texts = [], []
    for name in unnoticed:
        change = changes[name.rpartition(".")[2]]
        if (function_of(name), change) not in reasons:
            left.append(name)
            texts.append(f"\n{name} ({found[name]})\n{change}")
    (module.folder / "left").write_text("\n".join(left))
    print(*texts, sep="\n", flush=True)
    accepted = len(unnoticed) - len(left)
    return Result(module, len(found), len(found) - len(unnoticed), accepted, tuple(left))


def measure(module: Module, *, only_left: bool, functions: list[str]) -> Result:
    """Runs the mutants of one module, or of some of its functions, and returns what became of them."""
    last = module.folder / "left"
    if only_left and last.exists():
        names = last.read_text().split()
        refresh(module)
        if names:
            mutmut(module, "run", "--max-children", "1", *names)
    else:
        prepare(module)
        mutmut(module, "run", "--max-children", "1", *mutants_of(module, functions))
    found = statuses(module)
    if functions:
        found = {name: status for name, status in found.items() if function_of(name) in functions}
    return judge(module, found)


def percent(results: Iterable[Result]) -> float:
    """Returns the share of mutants that were noticed; accepted ones count neither for nor against."""
    total: Counter[str] = Counter()
    for result in results:
        total["noticed"] += result.noticed
        total["counted"] += result.mutants - result.accepted
    return 100 * total["noticed"] / total["counted"] if total["counted"] else 100.0


def row(name: str, results: list[Result]) -> str:
    numbers = (
        sum(result.mutants for result in results),
        sum(result.noticed for result in results),
        sum(result.accepted for result in results),
        sum(len(result.left) for result in results),
    )
    return f"{name:<46}" + "".join(f"{number:>9}" for number in numbers) + f"{percent(results):>8.1f}%"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("module", nargs="*", help="the beginning of a module's path")
    parser.add_argument("--left", action="store_true", help="only what the last run left unnoticed")
    parser.add_argument("--function", action="append", default=[], help="only the mutants of this function")
    options = parser.parse_args(arguments)
    chosen = [
        module for module in modules() if not options.module or module.path.startswith(tuple(options.module))
    ]
    if not chosen:
        parser.error("no module in mutants.toml begins with that")
    if failure := ENVIRONMENT.install():
        sys.exit(f"mutmut could not be installed: {failure}")
    results = []
    with temporary_services():
        for module in chosen:
            print(f"--- {module.path}", flush=True)
            results.append(measure(module, only_left=options.left, functions=options.function))
    print(f"\n{'':<46}  mutants  noticed accepted     left   share")
    for result in results:
        print(row(result.module.path, [result]))
    print(row("all", results))
    return 0 if percent(results) >= GOAL_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
