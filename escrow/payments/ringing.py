"""The doorbells of payments wake the worker after a commit. A lost ring costs until beat's next sweep."""

from __future__ import annotations

from core.doorbell import Doorbell

collections_doorbell = Doorbell("escrow.tasks.run_collections")
payouts_doorbell = Doorbell("escrow.tasks.run_payouts")
