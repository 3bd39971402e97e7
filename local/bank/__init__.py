"""Stands in for a bank in `make run` and in the demo of docker compose: takes payments and payouts over HTTP;
a person plays it on a page.

    PAYMENT_SANDBOX_KEY=... python -m local.bank 8026 .run/bank.json

Keeps what it knows in one file, so that a payment still waits after the next start; listens on 127.0.0.1
only, unless an option says otherwise (`--help`), as in a container. `book` is what happened, `webhooks` tells
Amani about it, `page` is how it looks, `server` the HTTP around them. The contract is in
escrow/payments/sandbox/format.py.
"""

from local.ports import LOOPBACK

KEY_VARIABLE = "PAYMENT_SANDBOX_KEY"


def settings(port: int, key: str) -> dict[str, str]:
    """What makes Amani collect and pay through the bank on `port`."""
    return {"PAYMENT_SANDBOX_URL": f"http://{LOOPBACK}:{port}", KEY_VARIABLE: key}
