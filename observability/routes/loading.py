"""Reads the routes from the database and keeps them in the process, with the version that they have."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db.models import Max

from observability.models import Route, RouteChange
from observability.routes.deciding import Compiled, Hours, Matcher, Routes

# A part of the webhook's statement: one row, whether the routes that it was decided by are the present ones.
IS_CURRENT = """SELECT coalesce(max(id), 0) = %(routes_version)s AS is_current
    FROM observability_routechange"""

log = structlog.get_logger(__name__)


class Kept:
    """The routes that this process read last. Before the first time: none, as in a new database."""

    routes = Routes(0, ())


kept = Kept()


def cached() -> Routes:
    """Returns the routes as this process knows them, without a query. Check their version (IS_CURRENT)."""
    return kept.routes


def current() -> Routes:
    """Returns the present routes: one query, and more when they have changed."""
    if kept.routes.version != version():
        kept.routes = read()
    return kept.routes


def version() -> int:
    newest: int | None = RouteChange.objects.aggregate(newest=Max("pk"))["newest"]
    return newest or 0


def read() -> Routes:
    """Reads all routes. The version comes first: after a change meanwhile it is too old, and they are read
    again.
    """
    known = version()
    rows = Route.objects.filter(removed_at=None).prefetch_related("matchers")
    return Routes(known, tuple(compiled(row) for row in rows))


def compiled(row: Route) -> Compiled:
    """Returns the route as plain data, with the conditions that it has in `row.matchers`."""
    matchers = (Matcher(each.label, each.is_excluded, frozenset(each.values)) for each in row.matchers.all())
    return Compiled(
        id=row.pk,
        name=row.name,
        is_on=row.is_on,
        severities=frozenset(row.severities),
        matchers=tuple(matchers),
        hours=Hours(frozenset(row.weekdays), row.from_time, row.until_time, zone_of(row)),
        notifies=row.notifies,
        channels=tuple(row.channels),
    )


def zone_of(row: Route) -> ZoneInfo:
    """Returns the route's time zone; UTC if this machine no longer knows it, so that no alert is lost."""
    try:
        return ZoneInfo(row.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        log.warning("time_zone_unknown", route=row.name, time_zone=row.time_zone)
        return ZoneInfo("UTC")
