"""The outbox: claim, send, record. Rows in PostgreSQL are the truth; a Celery task only looks for them.

A delivery is claimed by a row update and sent by the holder of one of the channel's slots (a PostgreSQL
advisory lock, which vanishes with its session). So a killed worker's delivery is taken over at once by the
next holder of its slot, and by anyone after its lease.
"""

from observability.alerts.delivery.sender import drain

__all__ = ["drain"]
