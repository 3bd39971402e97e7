"""Metrics: how they are declared, where their values are kept, and how a scrape reads those of all processes.

Importing this package makes prometheus_client keep all values as storage.py says. It has to happen before any
metric is declared, so modules of this package are also where other libraries' metrics may be imported.
"""

from observability.telemetry.metrics import storage

__all__ = ["storage"]
