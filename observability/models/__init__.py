"""The truth about alerts and who was told: rows in PostgreSQL."""

from observability.models.delivery import Attempt, Channel, Delivery
from observability.models.episode import Episode, EpisodeEvent
from observability.models.heartbeat import Heartbeat
from observability.models.receipt import Receipt

__all__ = ["Attempt", "Channel", "Delivery", "Episode", "EpisodeEvent", "Heartbeat", "Receipt"]
