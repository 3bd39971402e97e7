"""Defines the errors of routes. Each has a stable code."""

from __future__ import annotations

from core.errors import Conflict, NotFound


class NoSuchRoute(NotFound):
    code = "no_such_route"

    def __init__(self) -> None:
        super().__init__("There is no such route any more.")


class RoutesChangedMeanwhile(Conflict):
    """Another operator changed the route after this one had opened its form."""

    code = "route_changed_meanwhile"

    def __init__(self, who: str, why: str) -> None:
        super().__init__(
            f"{who} has changed this route meanwhile: {why}. Nothing was saved. Open it again to see it."
        )


class CannotMoveRoute(Conflict):
    code = "cannot_move_route"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the first route already.")
