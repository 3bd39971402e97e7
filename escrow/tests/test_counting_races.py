"""Entries that become visible out of order are counted exactly once, also after a restore elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import pytest
from django.db import connection, transaction

from escrow.ledger import counting, drift
from escrow.ledger.tests.books import fund
from escrow.models import LedgerCheckpoint, LedgerEntry, LedgerWatch
from escrow.snapshot import check_books
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

HELD = ("escrow_held", "NGN")


@pytest.fixture(autouse=True)
def _a_check_reaches_the_newest_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids earlier tests of this process have used."""
    monkeypatch.setattr(drift, "NEW_AT_ONCE", 10**9)


@contextmanager
def posted_and_not_committed(amount_minor: int) -> Iterator[None]:
    """Another session has entries with the next ids, and commits at the end."""
    posted, may_commit = Event(), Event()

    def run() -> None:
        try:
            with transaction.atomic():
                fund(99, amount_minor)
                posted.set()
                may_commit.wait(PATIENCE_SECONDS)
        finally:
            connection.close()

    session = Thread(target=run)
    session.start()
    assert posted.wait(PATIENCE_SECONDS)
    try:
        yield
    finally:
        may_commit.set()
        session.join(PATIENCE_SECONDS)


def held() -> int:
    books = check_books()
    assert books is not None
    assert sum(books.sums.values()) == 0
    assert not books.wrong.drifted
    return books.sums[HELD]


def counted() -> int:
    """What is counted once and for all, of which nothing is added again."""
    return LedgerCheckpoint.objects.get(kind="escrow_held").counted_minor


def newest() -> int:
    return LedgerEntry.objects.order_by("-id").values_list("id", flat=True)[0]


@pytest.mark.parametrize("is_older", [False, True], ids=["a newer transaction", "an older transaction"])
def test_entries_that_become_visible_out_of_order_are_counted_exactly_once(is_older: bool) -> None:
    fund(1, 1)
    # An account of the other session must exist, else it would wait for the session that opens it.
    fund(99, 10)
    with ExitStack() as sessions:
        with transaction.atomic():
            if is_older:  # its id is before the other session's, its entries come after them
                counting.asked(counting.OWN_XID)
            sessions.enter_context(posted_and_not_committed(100))
            fund(2, 1_000)  # with larger ids than the other session's, and visible before
        assert [held() for _ in range(4)] == [1_011] * 4
        assert counted() == 0
        assert LedgerWatch.objects.get().counted_id < newest()
    assert [held() for _ in range(3)] == [1_111] * 3
    watch = LedgerWatch.objects.get()
    assert (watch.counted_id, watch.checked_id, counted()) == (newest(), newest(), 1_111)
    fund(3, 10_000)
    assert [held() for _ in range(3)] == [11_111] * 3
    assert counted() == 11_111


def test_a_candidate_of_another_cluster_is_forgotten() -> None:
    """A database that was restored into a younger cluster remembers a transaction of the far future."""
    fund(1, 1)
    held()
    LedgerWatch.objects.update(candidate_xid=10**12)
    fund(2, 10)
    assert [held() for _ in range(3)] == [11] * 3
    assert LedgerWatch.objects.get().candidate_xid < 10**12
    assert counted() == 11


def test_of_two_checks_at_once_one_does_nothing() -> None:
    fund(1, 5)
    assert held() == 5
    done: list[object] = []

    def run() -> None:
        try:
            done.append(check_books())
        finally:
            connection.close()

    with transaction.atomic():
        LedgerWatch.objects.select_for_update().get()
        session = Thread(target=run)
        session.start()
        session.join(PATIENCE_SECONDS)
    assert done == [None]


def test_a_check_reads_what_is_new_and_not_the_whole_ledger() -> None:
    for number in range(3):
        fund(number, 10)
    for _ in range(3):
        held()
    watch = LedgerWatch.objects.get()
    assert drift.new_entries(watch, counting.Horizon(newest(), 0)) == (newest(), newest())
    assert watch.counted_id == newest()
