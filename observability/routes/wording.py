"""Says in words what a route does, and why it does not decide about an alert."""

from __future__ import annotations

from collections.abc import Iterable

from observability.models import Route, RouteStep
from observability.models.routes import WEEKDAYS
from observability.notifiers import registry
from observability.routes.deciding import Mismatch
from observability.routes.terms import Condition, Step, Terms

WHY_NOT = {
    Mismatch.IS_OFF: "it is switched off",
    Mismatch.SEVERITY: "it is for other severities",
    Mismatch.LABELS: "its conditions on labels do not hold",
    Mismatch.HOURS: "it is outside its hours",
    Mismatch.NO_CHANNEL: "none of its channels is set up",
}


def words_of(route: Route) -> str:
    """Returns what the route says, in lines; for its page and for the history of changes."""
    return words(terms_of(route))


def terms_of(route: Route) -> Terms:
    """Returns what the rows of a route say."""
    return Terms(
        name=route.name,
        channels=tuple(route.channels),
        notifies=route.notifies,
        is_on=route.is_on,
        severities=tuple(route.severities),
        conditions=tuple(
            Condition(each.label, each.is_excluded, tuple(each.values)) for each in route.matchers.all()
        ),
        weekdays=tuple(route.weekdays),
        from_time=route.from_time,
        until_time=route.until_time,
        time_zone=route.time_zone,
        steps=tuple(Step(each.after_minutes, tuple(each.channels)) for each in route.steps.all()),
    )


def words(terms: Terms) -> str:
    """Returns what such a route says, in lines."""
    lines = [
        f"{terms.name}{'' if terms.is_on else ' (switched off)'}",
        f"Severity: {', '.join(terms.severities) or 'any'}",
        *map(words_of_condition, terms.conditions),
        f"Hours: {hours_of(terms)}",
        f"Notifies: {channel_names(terms.channels) if terms.notifies else 'nobody'}",
        *map(words_of_step, terms.steps),
    ]
    return "\n".join(lines)


def words_of_condition(condition: Condition) -> str:
    return f"{condition.label} {'!=' if condition.is_excluded else '='} {', '.join(condition.values)}"


def words_of_step(step: Step | RouteStep) -> str:
    return f"Not acknowledged after {step.after_minutes} min: {channel_names(step.channels)}"


def hours_of(terms: Terms | Route) -> str:
    """Returns for example `Mon to Fri 08:00 to 18:00 Africa/Lagos`, or `always`."""
    days, begin, end = days_of(terms.weekdays), terms.from_time, terms.until_time
    times = f"{begin:%H:%M} to {end:%H:%M}" if begin and end else ""
    if not days and not times:
        return "always"
    return " ".join(filter(None, (days or "every day", times, terms.time_zone)))


def days_of(weekdays: Iterable[int]) -> str:
    """Returns `Mon to Fri` or `Mon, Wed`; "" for every day."""
    days = sorted(weekdays)
    if not days or len(days) == len(WEEKDAYS):
        return ""
    if len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{WEEKDAYS[days[0]]} to {WEEKDAYS[days[-1]]}"
    return ", ".join(WEEKDAYS[day] for day in days)


def channel_names(channels: Iterable[str]) -> str:
    """Returns the channels as operators read them; a name that no notifier has any more stays as it is."""
    found = ((name, registry.NOTIFIERS.get(name)) for name in channels)
    return ", ".join(notifier.label if notifier else name for name, notifier in found)
