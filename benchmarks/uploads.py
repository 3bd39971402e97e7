"""U1 memory of the web server, U2 the longest ping, while small files arrive that are huge when decoded."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO

import psutil
import requests
from PIL import Image

from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Server, Stage, amani_environment, start_amani
from benchmarks.table import Row, Verdict, number

ACCOUNTS = 8
SIDES = ("front", "back", "selfie")
MOST_SECONDS = 240  # a deadline for one account's submission
BETWEEN_LOOKS = 0.05  # seconds
SETTLE_SECONDS = 3
SIDE_PIXELS = 5_477  # just below 30 million pixels
PEAK_GOAL, PEAK_GATE = 500.0, 700.0  # MB more than before, of all processes
LEFT_GOAL, LEFT_GATE = 60.0, 120.0  # MB more than before, afterwards
PING_GOAL, PING_GATE = 0.5, 1.5  # seconds

PEOPLE = f"""
from allauth.account.models import EmailAddress
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.conf import settings
from accounts.models import User
from accounts.session_store import SessionStore
for number in range({ACCOUNTS}):
    person = User.objects.create_user(f"person-{{number}}@example.com", full_name="Ada Obi")
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    print(session.session_key)
"""


def measure(stage: Stage, _plan: Plan, _peer_problem: str) -> list[Row]:
    storage = stage.folder / "uploads"
    environment = amani_environment(
        stage, "uploads", stage.postgres.make_database("uploads"), KYC_STORAGE_ROOT=str(storage)
    )
    server = start_amani(stage, "uploads", environment)
    tokens = people(environment)
    before = megabytes(server)
    with watched(server) as seen:
        results = submit_all(server, tokens)
    time.sleep(SETTLE_SECONDS)
    left = megabytes(server) - before
    stage.stop(server.process)
    if results.accepted != ACCOUNTS:
        raise RuntimeError(f"The submissions were answered {results.statuses}: {stage.last_words('uploads')}")
    return [memory_row(seen.peak - before, left, results), ping_row(seen.longest_ping)]


def people(environment: dict[str, str]) -> list[str]:
    """Creates the accounts, and returns a session token of each."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", PEOPLE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def small_file_of_many_pixels() -> bytes:
    """A PNG of one colour just below the limit of pixels."""
    result = BytesIO()
    Image.new("RGB", (SIDE_PIXELS, SIDE_PIXELS), "red").save(result, "PNG", compress_level=9)
    return result.getvalue()


# --- Looking ---


@dataclass
class Seen:
    peak: float = 0.0  # MB
    longest_ping: float = 0.0  # seconds


@contextmanager
def watched(server: Server) -> Iterator[Seen]:
    seen, end = Seen(), threading.Event()

    def look() -> None:
        while not end.wait(BETWEEN_LOOKS):
            seen.peak = max(seen.peak, megabytes(server))

    def ping() -> None:
        while not end.wait(BETWEEN_LOOKS):
            began = time.monotonic()
            requests.get(f"http://127.0.0.1:{server.target.port}/api/v1/ping", timeout=MOST_SECONDS)
            seen.longest_ping = max(seen.longest_ping, time.monotonic() - began)

    threads = [threading.Thread(target=look), threading.Thread(target=ping)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        end.set()
        for thread in threads:
            thread.join()


def megabytes(server: Server) -> float:
    """Proportional set size of the web server with all its processes."""
    root = psutil.Process(server.process.pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 2**20


# --- Submitting ---


@dataclass
class Results:
    accepted: int = 0
    busy: int = 0
    seconds: float = 0.0
    statuses: list[int] = field(default_factory=list)


def submit_all(server: Server, tokens: list[str]) -> Results:
    """Lets all accounts submit at the same time, each again after a 503 or 429 as `Retry-After` says."""
    results, content = Results(), small_file_of_many_pixels()
    began = time.monotonic()
    threads = [
        threading.Thread(target=submit, args=(server, token, number, content, results))
        for number, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.seconds = time.monotonic() - began
    return results


def submit(server: Server, token: str, number: int, content: bytes, results: Results) -> None:
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until:
        answer = requests.post(
            f"http://127.0.0.1:{server.target.port}/api/v1/kyc/cases",
            headers={"X-Session-Token": token},
            data={"document_type": "national_id", "country": "GH", "number": f"A12345{number}"},
            files={side: (f"{side}.png", content, "image/png") for side in SIDES},
            timeout=MOST_SECONDS,
        )
        results.statuses.append(answer.status_code)
        if answer.status_code not in (429, 503):
            results.accepted += answer.status_code == 201
            return
        results.busy += 1
        time.sleep(int(answer.headers["Retry-After"]))


# --- Rows ---


def memory_row(peak: float, left: float, results: Results) -> Row:
    return Row(
        key="U1",
        measure=f"MB more while {ACCOUNTS} accounts submit {len(SIDES)} pictures of 30 million pixels, "
        f"and afterwards; all accepted after {results.seconds:.0f} s, {results.busy} times 503",
        amani=f"{number(peak)} / {number(left)}",
        goal=f"≤ {PEAK_GOAL:.0f} / {LEFT_GOAL:.0f}",
        gate=f"≤ {PEAK_GATE:.0f} / {LEFT_GATE:.0f}",
        verdict=Verdict.of(
            goal=peak <= PEAK_GOAL and left <= LEFT_GOAL, gate=peak <= PEAK_GATE and left <= LEFT_GATE
        ),
    )


def ping_row(longest: float) -> Row:
    return Row(
        key="U2",
        measure="longest ping meanwhile, seconds",
        amani=number(longest),
        goal=f"≤ {PING_GOAL}",
        gate=f"≤ {PING_GATE}",
        verdict=Verdict.of(goal=longest <= PING_GOAL, gate=longest <= PING_GATE),
    )
