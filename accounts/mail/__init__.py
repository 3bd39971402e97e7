"""Stores mails as rows, which the worker leases and sends, so that no request waits for a mail server.

`backend.py` stores a request's mails in its transaction; `claim.py`, `transport.py` and `record.py` send
them; `work.py` is the loop, which a doorbell and beat start. It uses `core/leases.py` and `core/doorbell.py`.
docs/adr/0016-mails-are-rows.md gives the reasons.
"""
