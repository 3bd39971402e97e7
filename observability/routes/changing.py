"""Adds, changes, moves and removes routes. Each change is one transaction, with a row of who and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from core.errors import Invalid
from observability.alerts.errors import ReasonMissing
from observability.models import Route, RouteChange, RouteMatcher, RouteStep
from observability.models.episode import Severity
from observability.models.routes import MOST_MINUTES, WEEKDAYS
from observability.notifiers import registry
from observability.routes.errors import CannotMoveRoute, NoSuchRoute, RoutesChangedMeanwhile
from observability.routes.terms import Condition, Step, Terms
from observability.routes.wording import words_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

MOST_ROUTES = 100  # each alert is compared with all of them
MOST_MATCHERS = 20
MOST_VALUES = 100
LONGEST_NAME = 80
LONGEST_REASON = 2_000


@transaction.atomic
def save_route(
    *,
    actor: AbstractBaseUser,
    reason: str,
    terms: Terms,
    route_id: int | None = None,
    seen: int | None = None,
) -> Route:
    """Adds a route after all others, or changes the route `route_id`. Returns it.

    `seen`: the version of the routes that the operator saw. Raises Invalid with the fields that are wrong,
    ReasonMissing, RoutesChangedMeanwhile when another operator changed this route since, NoSuchRoute.
    """
    check(terms)
    lock_routes()
    route = locked(route_id, seen) if route_id is not None else new_route()
    before = words_of(route) if route.pk else ""
    check_name(terms.name, route)
    route.name, route.is_on, route.notifies = terms.name, terms.is_on, terms.notifies
    route.severities, route.weekdays = list(terms.severities), sorted(terms.weekdays)
    route.from_time, route.until_time, route.time_zone = terms.from_time, terms.until_time, terms.time_zone
    route.channels = list(terms.channels)
    route.save()
    route.matchers.all().delete()
    RouteMatcher.objects.bulk_create(
        RouteMatcher(route=route, label=each.label, is_excluded=each.is_excluded, values=list(each.values))
        for each in terms.conditions
    )
    route.steps.all().delete()
    RouteStep.objects.bulk_create(
        RouteStep(route=route, after_minutes=each.after_minutes, channels=list(each.channels))
        for each in terms.steps
    )
    write_down(route, actor, reason, before, words_of(route))
    return route


@transaction.atomic
def move_up(*, actor: AbstractBaseUser, route_id: int) -> Route:
    """Puts the route before the one that is tried before it. Raises CannotMoveRoute for the first one."""
    lock_routes()
    route = locked(route_id, None)
    above = Route.objects.filter(removed_at=None, position__lt=route.position).order_by("-position").first()
    if above is None:
        raise CannotMoveRoute(route.name)
    before = f"tried after “{above.name}”"
    route.position, above.position = above.position, route.position
    route.save(update_fields=["position"])
    above.save(update_fields=["position"])
    write_down(route, actor, "moved up", before, f"tried before “{above.name}”")
    return route


@transaction.atomic
def remove_route(*, actor: AbstractBaseUser, reason: str, route_id: int) -> Route:
    """Removes the route; its row stays for the alerts that it decided about."""
    lock_routes()
    route = locked(route_id, None)
    before = words_of(route)
    route.removed_at = timezone.now()
    route.save(update_fields=["removed_at"])
    write_down(route, actor, reason, before, "")
    return route


def lock_routes() -> None:
    """Lets one transaction after the other change routes.

    So versions become visible in their order, and no process takes older routes for the newest.
    """
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE observability_routechange IN SHARE ROW EXCLUSIVE MODE")


def locked(route_id: int, seen: int | None) -> Route:
    route = Route.objects.filter(pk=route_id, removed_at=None).first()
    if route is None:
        raise NoSuchRoute
    newest = route.changes.select_related("actor").first()
    if seen is not None and newest is not None and newest.pk > seen:
        raise RoutesChangedMeanwhile(str(newest.actor), newest.reason)
    return route


def new_route() -> Route:
    rows = Route.objects.filter(removed_at=None)
    if rows.count() >= MOST_ROUTES:
        raise Invalid(f"There are {MOST_ROUTES} routes. Remove one that is no longer needed.")
    last: int | None = Route.objects.aggregate(last=Max("position"))["last"]
    return Route(position=(last or 0) + 1)


def write_down(route: Route, actor: AbstractBaseUser, reason: str, before: str, after: str) -> None:
    """Adds the row that is the new version of all routes. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing("Give a reason for the change.", fields={"reason": ["Give a reason."]})
    RouteChange.objects.create(
        route=route, actor_id=actor.pk, reason=reason.strip()[:LONGEST_REASON], before=before, after=after
    )


# --- What is refused ---


def check(terms: Terms) -> None:
    """Raises Invalid, with everything that is wrong by its field."""
    problems = {
        "name": problem_of_name(terms.name),
        "channels": problem_of_channels(terms),
        "severities": problem_of_severities(terms.severities),
        "weekdays": problem_of_weekdays(terms.weekdays),
        "until_time": problem_of_times(terms.from_time, terms.until_time),
        "time_zone": problem_of_time_zone(terms.time_zone),
        "conditions": problem_of_conditions(terms.conditions),
        "steps": problem_of_steps(terms.steps),
    }
    wrong = {field: [problem] for field, problem in problems.items() if problem}
    if wrong:
        raise Invalid("The route is not complete.", fields=wrong)


def check_name(name: str, route: Route) -> None:
    if Route.objects.filter(name=name, removed_at=None).exclude(pk=route.pk).exists():
        raise Invalid("The name is taken.", fields={"name": ["Another route has this name."]})


def problem_of_name(name: str) -> str:
    is_right = name.strip() and len(name) <= LONGEST_NAME
    return "" if is_right else f"Give a name of at most {LONGEST_NAME} characters."


def problem_of_severities(severities: Iterable[str]) -> str:
    unknown = set(severities) - set(Severity.values)
    return f"Unknown: {', '.join(sorted(unknown))}." if unknown else ""


def problem_of_weekdays(weekdays: Iterable[int]) -> str:
    return "Days are numbered from 1, Monday, to 7." if set(weekdays) - set(WEEKDAYS) else ""


def problem_of_times(begin: time | None, end: time | None) -> str:
    if (begin is None) != (end is None):
        return "Give both times, or none for the whole day."
    if begin is not None and begin == end:
        return "Begin and end are the same: leave both empty for the whole day."
    return ""


def problem_of_channels(terms: Terms) -> str:
    if not terms.notifies and (terms.channels or terms.steps):
        return "A route that notifies nobody has no channels and no escalation."
    if terms.notifies and not terms.channels:
        return "Choose a channel, or let the route notify nobody."
    return unknown_channels(terms.channels)


def unknown_channels(channels: Iterable[str]) -> str:
    unknown = [name for name in channels if name not in registry.NOTIFIERS]
    return f"Unknown channel: {', '.join(unknown)}." if unknown else ""


def problem_of_conditions(conditions: tuple[Condition, ...]) -> str:
    keys = [(each.label, each.is_excluded) for each in conditions]
    if len(keys) > MOST_MATCHERS:
        return f"A route has at most {MOST_MATCHERS} conditions."
    if len(set(keys)) < len(keys):
        return "A label stands in two conditions of one kind: write its values into one."
    for each in conditions:
        if not each.label or len(each.label) > 200:
            return "A condition begins with the name of a label, of at most 200 characters."
        if not each.values or len(each.values) > MOST_VALUES:
            return f"{each.label}: give one to {MOST_VALUES} values."
        if any(len(value) > 500 for value in each.values):
            return f"{each.label}: a value has at most 500 characters."
    return ""


def problem_of_steps(steps: tuple[Step, ...]) -> str:
    minutes = [each.after_minutes for each in steps]
    if any(not 1 <= number <= MOST_MINUTES for number in minutes):
        return f"A step comes after 1 to {MOST_MINUTES} minutes."
    if len(set(minutes)) < len(minutes):
        return "Two steps come after the same time: make them one."
    for each in steps:
        if not each.channels:
            return f"Choose the channels of the step after {each.after_minutes} minutes."
        if problem := unknown_channels(each.channels):
            return problem
    return ""


def problem_of_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "Use an IANA name, for example Africa/Lagos or Europe/Berlin."
    return ""
