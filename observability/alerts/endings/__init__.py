"""Finds out how an alert ended before its resolve is sent: the value at its end, or why nothing is known."""

from observability.alerts.endings.finding import find_endings
from observability.alerts.endings.wording import sentence

__all__ = ["find_endings", "sentence"]
