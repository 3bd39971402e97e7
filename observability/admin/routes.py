"""Shows and changes the routes of alerts, and answers who would be notified."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from core.console.history import HistoryAdmin, actor_of, posted_reason, see_other
from observability import routes
from observability.admin.route_form import RouteForm, TesterForm, as_typed
from observability.models import Episode, Route
from observability.models.episode import Severity
from observability.roles import EDIT_ROUTE, VIEW_EPISODE
from observability.routes.changing import move_up, remove_route, save_route
from observability.routes.loading import version
from observability.routes.tester import who_is_notified
from observability.routes.wording import channel_names, hours_of, words, words_of, words_of_step

MOST_CHANGES = 50
NEW = {"time_zone": "UTC", "notifies": "yes", "is_on": True}


@admin.register(Route)
class RouteAdmin(HistoryAdmin):
    page_template = "observability/console/route.html"

    def get_urls(self) -> list[URLPattern]:
        return [
            self.form_path("set/", "set", self.add),
            self.form_path("<int:pk>/edit/", "edit", self.edit),
            self.action_path("move_up", EDIT_ROUTE, self.move_up),
            self.action_path("remove", EDIT_ROUTE, self.remove),
            *super().get_urls(),
        ]

    def form_path(self, address: str, name: str, view: Any) -> URLPattern:
        guarded = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(view))
        pattern: URLPattern = path(address, guarded, name=self.url_name(name).removeprefix("admin:"))
        return pattern

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Shows all routes in their order, the settings behind them, and the tester."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Route.objects.filter(removed_at=None).prefetch_related("matchers", "steps")
        form = self.tester(request)
        answer = None
        if form.is_bound and form.is_valid():
            data = form.cleaned_data
            answer = who_is_notified(routes.current(), data["severity"], data["pairs"], form.moment())
        context = {
            "title": "Routes",
            "routes": [
                (row, hours_of(row), channel_names(row.channels), list(map(words_of_step, row.steps.all())))
                for row in rows
            ],
            "defaults": [(severity, channel_names(settings.ALERT_ROUTES[severity])) for severity in Severity],
            "form": form,
            "answer": answer,
            "may_edit": self.may(request, EDIT_ROUTE),
        }
        return self.framed(request, "observability/console/routes.html", context)

    def tester(self, request: HttpRequest) -> TesterForm:
        """Returns the form with what was asked, or with the alert of `?alert=`."""
        chosen = request.GET.get("alert", "")
        if chosen:
            episode = None
            if chosen.isdecimal() and len(chosen) < 19 and request.user.has_perm(VIEW_EPISODE):
                episode = Episode.objects.filter(pk=chosen).first()
            if episode is None:
                raise Http404("There is no such alert.")
            lines = (f"{name} = {' '.join(value.split())}" for name, value in episode.labels.items())
            return TesterForm({"severity": episode.severity, "labels": "\n".join(lines)})
        return TesterForm(request.GET if "severity" in request.GET else None)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Route | None:
        if not object_id.isdecimal() or len(object_id) > 18:
            return None
        return Route.objects.filter(pk=object_id).first()

    def page_context(self, request: HttpRequest, row: Route) -> dict[str, Any]:
        return {
            "words": words_of(row),
            "changes": list(row.changes.select_related("actor")[:MOST_CHANGES]),
            "may_edit": self.may(request, EDIT_ROUTE) and row.removed_at is None,
        }

    # --- Changing: form, confirmation, then `save_route` ---

    def add(self, request: HttpRequest) -> HttpResponse:
        return self.form_view(request, None)

    def edit(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.may(request, EDIT_ROUTE):
            raise PermissionDenied
        route = Route.objects.filter(pk=pk, removed_at=None).first()
        if route is None:
            raise Http404("There is no such route.")
        return self.form_view(request, route)

    def form_view(self, request: HttpRequest, route: Route | None) -> HttpResponse:
        if not self.may(request, EDIT_ROUTE):
            raise PermissionDenied
        context: dict[str, Any] = {"title": f"Change {route}" if route else "Add a route", "route": route}
        template = "observability/console/route_form.html"
        if request.method != "POST":
            initial = as_typed(route, version()) if route else NEW
            return self.framed(request, template, context | {"form": RouteForm(initial=initial)})
        form = RouteForm(request.POST)
        if form.is_valid() and "back" not in request.POST:
            if "confirmed" not in request.POST:
                context["before"] = words_of(route) if route else ""
                context |= {"after": words(form.terms()), "data": form.cleaned_data}
                return self.framed(
                    request, "observability/console/route_confirm.html", context | {"form": form}
                )
            saved = form.adding_errors(
                lambda: save_route(
                    actor=actor_of(request),
                    reason=form.cleaned_data["reason"],
                    terms=form.terms(),
                    route_id=route.pk if route else None,
                    seen=form.cleaned_data["seen"],
                )
            )
            if saved is not None:
                messages.success(request, f"The route {saved} is in force.")
                return see_other(self.page_url(saved.pk))
        return self.framed(request, template, context | {"form": form})

    def move_up(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request, "It is tried earlier now.", lambda: move_up(actor=actor_of(request), route_id=pk)
        )
        return see_other(reverse(self.url_name("changelist")))

    def remove(self, request: HttpRequest, pk: int) -> HttpResponse:
        reason = posted_reason(request)
        self.perform(
            request,
            "The route is removed.",
            lambda: remove_route(actor=actor_of(request), reason=reason, route_id=pk),
        )
        return see_other(reverse(self.url_name("changelist")) if reason else self.page_url(pk))
