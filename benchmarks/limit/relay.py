"""The plain sender: one process that waits for NOTIFY and posts what is unsent, in batches of 50."""

import http.client
import json
import os
import sys

import psycopg

CLAIM = """
SELECT outbox.id, alert.fingerprint, outbox.status, alert.labels, alert.annotations
FROM outbox JOIN alert ON alert.id = outbox.alert_id
WHERE sent_at IS NULL ORDER BY outbox.id LIMIT 50 FOR UPDATE OF outbox SKIP LOCKED
"""


def send_batch(database: psycopg.Connection, vendor: http.client.HTTPConnection) -> int:
    with database.transaction():
        rows = database.execute(CLAIM).fetchall()
        for identifier, fingerprint, status, labels, annotations in rows:
            text = json.dumps(
                {"text": f"{status} {fingerprint}", "labels": labels, "annotations": annotations}
            )
            vendor.request("POST", "/slack", text)
            vendor.getresponse().read()
            database.execute("UPDATE outbox SET sent_at = now() WHERE id = %s", [identifier])
    return len(rows)


def main(vendor_port: int) -> None:
    database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    vendor = http.client.HTTPConnection("127.0.0.1", vendor_port)
    database.execute("LISTEN outbox")
    while True:
        while send_batch(database, vendor):
            pass
        for _ in database.notifies(timeout=2, stop_after=1):
            break


if __name__ == "__main__":
    main(int(sys.argv[1]))
