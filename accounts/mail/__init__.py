"""Mails to people are rows, leased and sent by the worker: no request ever waits for a mail server.

`backend.py` stores what a request sends, in its transaction; `claim.py`, `transport.py` and `record.py` send
it; `work.py` is their loop, which a doorbell and beat wake. The mechanisms are `core/leases.py` and
`core/doorbell.py`. docs/adr/0016-mails-are-rows.md says why.
"""
