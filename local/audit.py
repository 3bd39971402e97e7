"""Known vulnerabilities in the locked requirements.

A vulnerability fails. A vulnerability service that cannot be asked (a closed network) is one clear line and
no failure, also under CI: it says nothing about the code, and the next run in an open network asks again.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
NOT_ASKED = "The vulnerability service could not be asked about {what}; nothing is known about them."


def ask() -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("pip-audit"))
    command = [
        program,
        "--disable-pip",
        "--require-hashes",
        "--format=json",
        "--progress-spinner=off",
        "--timeout=15",
    ]
    command += [part for name in FILES for part in ("-r", name)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def report(answer: str) -> tuple[list[str], bool]:
    """Lines to print for pip-audit's JSON (empty: it gave none), and whether something is vulnerable."""
    if not answer.strip():
        return [NOT_ASKED.format(what="the requirements")], False
    packages = json.loads(answer)["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [describe(package, found) for package in packages for found in package.get("vulns", ())]
    vulnerable = bool(lines)
    if skipped:
        what = f"{len(skipped)} of {len(packages)} requirements"
        lines.append(NOT_ASKED.format(what=what))
    return lines or [f"No known vulnerability in {len(packages)} requirements."], vulnerable


def describe(package: dict[str, Any], found: dict[str, Any]) -> str:
    fixed = ", ".join(found["fix_versions"]) or "no version"
    return f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"


def main() -> int:
    lines, vulnerable = report(ask().stdout)
    print("\n".join(lines))
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
