"""Environments beside .venv, for programs that pin other versions than Amani; made when first needed."""

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).with_name("uv"))
INSTALL_SECONDS = 300


class Environment:
    """The folder `name` of the checkout, holding what the lock file `requirements` names."""

    def __init__(self, name: str, requirements: Path) -> None:
        self.folder = ROOT / name
        self.requirements = requirements

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def install(self) -> str:
        """Bring it up to date; without the package index, if nothing is missing.

        Two runs in one checkout wait for each other. Returns why it failed; empty when it did not.
        """
        (ROOT / ".run").mkdir(exist_ok=True)
        with (ROOT / ".run" / f"{self.folder.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            return self.make() or (self.sync("--offline") and self.sync())

    def make(self) -> str:
        return uv("venv", "--allow-existing", "--python", sys.executable, str(self.folder))

    def sync(self, *options: str) -> str:
        return uv(
            "pip", "sync", "--python", self.python, "--require-hashes", *options, str(self.requirements)
        )


def uv(*arguments: str) -> str:
    """Run uv. Returns what it said when it failed; empty when it did not."""
    try:
        done = subprocess.run(
            [UV, "--quiet", *arguments], capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"not done within {INSTALL_SECONDS} s: uv {' '.join(arguments)}"
    return "" if done.returncode == 0 else done.stderr.strip() or f"this failed: uv {' '.join(arguments)}"
