"""Defines the tables of alerts, their deliveries, receipts and signs of life."""

from observability.models.delivery import Attempt, Channel, Delivery
from observability.models.episode import Episode, EpisodeEvent
from observability.models.heartbeat import Heartbeat
from observability.models.receipt import Receipt

__all__ = ["Attempt", "Channel", "Delivery", "Episode", "EpisodeEvent", "Heartbeat", "Receipt"]
