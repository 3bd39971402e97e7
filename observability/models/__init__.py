"""Defines the tables of alerts, their deliveries, receipts, rules and signs of life."""

from observability.models.delivery import Attempt, Channel, Delivery
from observability.models.episode import Episode, EpisodeEvent
from observability.models.heartbeat import Heartbeat
from observability.models.previews import RulePreview
from observability.models.receipt import Receipt
from observability.models.routes import Escalation, Route, RouteChange, RouteMatcher, RouteStep
from observability.models.rules import AlertRule, RuleChange, RuleGroup
from observability.models.rules_version import RulesVersion, ServedRules
from observability.models.silence import Silence, SilenceEvent, SilenceWindow, Suppression

__all__ = [
    "AlertRule",
    "Attempt",
    "Channel",
    "Delivery",
    "Episode",
    "EpisodeEvent",
    "Escalation",
    "Heartbeat",
    "Receipt",
    "Route",
    "RouteChange",
    "RouteMatcher",
    "RouteStep",
    "RuleChange",
    "RuleGroup",
    "RulePreview",
    "RulesVersion",
    "ServedRules",
    "Silence",
    "SilenceEvent",
    "SilenceWindow",
    "Suppression",
]
