"""One key sent by many clients at once moves money once: 1,000 times by 32 clients with AMANI_REPEATS=1000
and AMANI_CLIENTS=32.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from uuid import uuid4

import pytest
from django.db import connection

from escrow.api.tests.app import App
from escrow.escrows.tests.deals import funded
from escrow.ledger import TransferKind
from escrow.models import LedgerTransfer


@pytest.mark.django_db(transaction=True)
def test_a_release_sent_many_times_at_once_is_one_transfer() -> None:
    times, clients = int(os.environ.get("AMANI_REPEATS", "32")), int(os.environ.get("AMANI_CLIENTS", "8"))
    deal = funded()
    app = App(deal.buyer)
    path, key = f"/milestones/{deal.first.public_id}/release", str(uuid4())
    body = {"amount": {"amount_minor": 1_000, "currency": "NGN"}}
    answers: list[tuple[int, bytes, str]] = []
    start = threading.Barrier(clients)

    def client() -> None:
        start.wait()
        for _ in range(times // clients):
            answer = app.send(path, body, key=key, version=deal.first.version)
            answers.append((answer.status_code, answer.content, answer["ETag"]))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((status, _, _), count), *others = Counter(answers).items()
    assert (status, count, others) == (200, times // clients * clients, [])
    assert LedgerTransfer.objects.filter(kind=TransferKind.RELEASE).count() == 1
    assert deal.first.released_minor == 1_000
