"""Defines the base class of every admin page: rows are read-only, also for a superuser, and are changed only
by named, audited actions."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from core.console.lists import StrictList
from core.console.paging import CappedPaginator, first_then_rest
from core.errors import AmaniError

LONGEST_REASON = 2_000
LONGEST_ID = 100  # Python refuses to read a number of thousands of digits
LONGEST_KEPT = 1_000  # characters of a list's address; the link to each of its rows repeats them


class CappedChangeList(ChangeList):  # type: ignore[misc]  # unfold ships no types
    """Uses the capped count as the total of an unfiltered list, so that "show all" is not offered."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count

    def rows_with_first(self, first: Q) -> list[Model]:
        """Returns this page's rows: those that meet `first`, then the others."""
        start = (self.page_num - 1) * self.list_per_page if self.multi_page else 0
        return first_then_rest(self.queryset, first, start, start + self.list_per_page)


class HistoryAdmin(StrictList, ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Shows a read-only list, and a read-only page for each row.

    Subclasses name the page's template (`page_template`) and fill its context (`page_context`).
    """

    page_template: str
    actions = None
    list_per_page = 50
    list_fullwidth = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # facets count every choice of every filter
    paginator = CappedPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CappedChangeList

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_preserved_filters(self, request: HttpRequest) -> str:
        """Returns the list's filters, which a link to a row carries for the way back; "" if they are long."""
        kept: str = super().get_preserved_filters(request)
        return kept if len(kept) <= LONGEST_KEPT else ""

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Returns what the page's template needs beyond the row itself."""
        return {}

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Answers with one row's page.

        A POST is refused: Django would save a form, and there is none here.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, object_id) if len(object_id) <= LONGEST_ID else None
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id[:LONGEST_ID]}.")
        return self.page_of(request, row)

    def page_of(self, request: HttpRequest, row: Any, **more: Any) -> TemplateResponse:
        """Returns the row's page; `more` is added to the context of its template."""
        context = {
            "title": str(row),
            "original": row,
            "row": row,
            **self.page_context(request, row),
            **more,
        }
        return self.framed(request, self.page_template, context)

    def framed(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        """Returns a page of this model in the admin's frame."""
        request.current_app = self.admin_site.name
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirects to the row's page: Django's own log has no entry of these rows, their page has the
        history."""
        return HttpResponseRedirect(self.page_url(object_id))

    def page_url(self, pk: object) -> str:
        """Returns the address of the row's page."""
        return reverse(self.url_name("change"), args=[pk])

    def url_name(self, name: str) -> str:
        """Returns the name under which Django's `reverse` knows the page `name` of this model."""
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"

    def action_path(self, name: str, permission: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Returns the URL pattern `<pk>/<name>/` of an action: POST only, and 403 without `permission`."""

        def guarded(request: HttpRequest, pk: int) -> HttpResponse:
            if not self.may(request, permission):
                raise PermissionDenied
            return view(request, pk)

        pattern: URLPattern = path(
            f"<int:pk>/{name}/",
            self.admin_site.admin_view(require_POST(guarded)),
            name=f"{self.opts.app_label}_{self.opts.model_name}_{name}",
        )
        return pattern

    def may(self, request: HttpRequest, permission: str) -> bool:
        """Whether the operator has `permission`, as "app.codename", and may see these rows."""
        return bool(request.user.has_perm(permission) and self.has_view_permission(request))

    def perform(self, request: HttpRequest, done: str, action: Callable[[], object]) -> None:
        """Runs `action` and shows the message `done`, or the message of the AmaniError that it raised.

        Raises Http404 when the row does not exist.
        """
        try:
            action()
        except self.model.DoesNotExist as problem:
            raise Http404(f"There is no such {self.opts.verbose_name}.") from problem
        except AmaniError as problem:
            messages.error(request, str(problem))
        else:
            messages.success(request, done)


def actor_of(request: HttpRequest) -> AbstractBaseUser:
    """Returns the operator who sent the request. Raises PermissionDenied for an anonymous one."""
    if not isinstance(request.user, AbstractBaseUser):
        raise PermissionDenied
    return request.user


def posted_reason(request: HttpRequest) -> str:
    """Returns the form's field `reason`, cut off, and without NUL, which PostgreSQL stores in no text."""
    return request.POST.get("reason", "").replace("\0", "").strip()[:LONGEST_REASON]


def see_other(url: str) -> HttpResponseRedirect:
    """Returns a redirect with status 303, so that the browser continues with GET."""
    response = HttpResponseRedirect(url)
    response.status_code = HTTPStatus.SEE_OTHER
    return response
