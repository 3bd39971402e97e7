"""A database with all migrations, made once for a test run that has several workers.

Each worker copies it, in the same PostgreSQL; another PostgreSQL of the run reads its dump. To migrate takes
ten seconds of processor time, most of it Django's, which makes the classes of all models anew at each step.

    migrated.begin(folder)      # in the background, with DATABASE_URL; then the workers start
    migrated.copy("test_gw1")   # False where there is none to copy: migrate as ever
    migrated.restore(url)       # likewise
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from local import placement

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "AMANI_MIGRATED_FOLDER"  # the environment variable that tells the workers
NAME = "migrated"


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """The process that makes it holds the folder's lock until it ends, in whatever way."""
    os.environ[FOLDER] = str(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "local.migrated"]
        return subprocess.Popen(command, cwd=ROOT, pass_fds=[lock.fileno()])


def dump_file() -> Path | None:
    """The dump, once it is made, or None."""
    if FOLDER not in os.environ:
        return None
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    return folder / "dump" if (folder / "dump").exists() else None


def copy(name: str) -> bool:
    """Makes the database `name` beside that of DATABASE_URL."""
    if dump_file() is None:
        return False
    statement = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(NAME))
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)
    return True


def restore(url: str) -> bool:
    """Fills the empty database, whose server has the same roles."""
    file = dump_file()
    if file is not None:
        run("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={url}", f"--file={file}")
    return file is not None


def run(program: str, *arguments: str) -> None:
    path = placement.programs(placement.unprivileged_user()) / program
    subprocess.run([str(path), *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    file = Path(os.environ[FOLDER]) / "dump"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(NAME)))
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{NAME}"
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(migrate, cwd=ROOT, env=os.environ | {"DATABASE_URL": url}, check=True)
    run("pg_dump", f"--dbname={url}", f"--file={file}.part")
    file.with_name("dump.part").rename(file)


if __name__ == "__main__":
    main()
