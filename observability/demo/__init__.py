"""Believable alerts to look at in development. None is ever sent: every delivery is finished."""

from observability.demo.seed import seed_alerts

__all__ = ["seed_alerts"]
