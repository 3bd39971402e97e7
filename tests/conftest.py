"""Fixtures of tests in a browser, and of Amani as real processes: one installation, reset for each test."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connections
from playwright.sync_api import Browser, expect, sync_playwright

from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from conftest import find_binary
from kyc.providers.tests.smile_stand_in import API_KEY, PARTNER_ID, SmileStandIn
from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateValkey
from observability.tests.vendors import PAGERDUTY_OK, SLACK_OK, Vendor
from observability.tests.waiting import PATIENCE_SECONDS
from tests.console_browser import QUIET
from tests.faults.bank import KEY, HeldBank, running_bank
from tests.installation import Installation


@pytest.fixture(scope="session")
def installation_folder() -> Iterator[Path]:
    """Readable also for the user that PostgreSQL runs as when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="amani-installation-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def own_postgres(installation_folder: Path) -> Iterator[PrivatePostgres]:
    """A PostgreSQL for the installations, apart from that of the other tests: it gets killed."""
    server = PrivatePostgres(installation_folder / "postgres", find_free_port(), durable=False)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def own_valkey(installation_folder: Path) -> Iterator[PrivateValkey]:
    server = PrivateValkey(installation_folder / "valkey", find_free_port())
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def vendors() -> Iterator[tuple[Vendor, Vendor]]:
    """Stand-ins of Slack and PagerDuty."""
    pair = (Vendor(SLACK_OK), Vendor(PAGERDUTY_OK))
    yield pair
    for vendor in pair:
        vendor.close()


@pytest.fixture
def slack(vendors: tuple[Vendor, Vendor]) -> Iterator[Vendor]:
    vendors[0].reset()
    yield vendors[0]
    vendors[0].reset()


@pytest.fixture
def pagerduty(vendors: tuple[Vendor, Vendor]) -> Iterator[Vendor]:
    vendors[1].reset()
    yield vendors[1]
    vendors[1].reset()


@pytest.fixture(scope="session")
def smile_id() -> Iterator[SmileStandIn]:
    stand_in = SmileStandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def smile(smile_id: SmileStandIn) -> Iterator[SmileStandIn]:
    smile_id.reset()
    yield smile_id
    smile_id.reset()


@pytest.fixture(scope="session")
def mail_stand_in() -> Iterator[SmtpStandIn]:
    stand_in = SmtpStandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def mail_server(mail_stand_in: SmtpStandIn) -> Iterator[SmtpStandIn]:
    mail_stand_in.works()
    mail_stand_in.reset()
    yield mail_stand_in
    mail_stand_in.works()
    mail_stand_in.reset()


@pytest.fixture(scope="session")
def bank() -> Iterator[HeldBank]:
    with running_bank() as running:
        yield running


@pytest.fixture(scope="session")
def only_installation(
    installation_folder: Path,
    own_postgres: PrivatePostgres,
    own_valkey: PrivateValkey,
    vendors: tuple[Vendor, Vendor],
    smile_id: SmileStandIn,
    mail_stand_in: SmtpStandIn,
    bank: HeldBank,
) -> Iterator[Installation]:
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE installation OWNER amani")
    slack, pagerduty = vendors
    installation = Installation(
        installation_folder,
        own_postgres,
        own_valkey,
        "installation",
        SLACK_WEBHOOK_URL=slack.url,
        PAGERDUTY_EVENTS_URL=pagerduty.url,
        KYC_PROVIDER="smile_id",
        SMILE_ID_PARTNER_ID=PARTNER_ID,
        SMILE_ID_API_KEY=API_KEY,
        SMILE_ID_BASE_URL=smile_id.url,
        PAYMENT_SANDBOX_URL=bank.url,
        PAYMENT_SANDBOX_KEY=KEY,
        PAYMENT_SANDBOX_IN_PRODUCTION="true",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=str(mail_stand_in.port),
        EMAIL_USE_TLS="false",
        EMAIL_TIMEOUT="30",
    )
    installation.migrate()
    yield installation
    installation.stop()


@pytest.fixture(scope="module")
def running_installation(only_installation: Installation) -> Iterator[Installation]:
    """Rests between the files that use it."""
    yield only_installation
    only_installation.rest()


@pytest.fixture
def installation(
    running_installation: Installation, slack: Vendor, pagerduty: Vendor
) -> Iterator[Installation]:
    """Runs whole, knows of no alert, and its vendors take everything."""
    running_installation.start()
    running_installation.forget()
    for vendor in (slack, pagerduty):
        vendor.reset()  # of what an earlier test left behind
    yield running_installation
    for name in ("web", "worker", "beat"):  # pytest shows this when the test failed
        sys.stdout.write(f"--- {name}\n{running_installation.log(name)}\n")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a file: to start it takes longer than most of them."""
    # Playwright runs an event loop in this thread. Django would refuse its database calls there, and
    # has another connection for them, which nobody else closes.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=find_binary("chromium"), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Without pages, cookies and storage of an earlier test."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    yield chromium
    for context in chromium.contexts:
        context.close()
    connections.close_all()
