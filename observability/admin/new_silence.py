"""Creates a silence, or a recurring one, in two steps: the form, then a confirmation with a preview."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from core.console.history import HistoryAdmin, actor_of, see_other
from observability.admin.silence_form import MatchersForm
from observability.roles import MANAGE_SILENCE


class NewSilence(HistoryAdmin):
    """The base of both admins, which give the texts, the form and what their confirmation adds."""

    form_class: ClassVar[type[MatchersForm]]
    confirm_template: ClassVar[str]
    new_title: ClassVar[str]
    new_explained: ClassVar[str]
    stored_message: ClassVar[str]

    def first_form(self, request: HttpRequest) -> MatchersForm:
        """Returns the form before anything was typed."""
        return self.form_class()

    def confirmation(self, form: Any) -> dict[str, Any]:
        """Returns what the template of the confirmation needs beyond the form and the preview."""
        return {}

    def may_manage(self, request: HttpRequest) -> bool:
        return self.may(request, MANAGE_SILENCE)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), **self.frame_of_list(request)})

    def frame_of_list(self, request: HttpRequest) -> dict[str, Any]:
        """Returns what the list says above its rows."""
        return {
            "alertmanager_is_set": bool(settings.ALERTMANAGER_URL),
            "may_manage": self.may_manage(request),
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.new))
        return [path("new/", view, name=self.url_name("new").removeprefix("admin:")), *super().get_urls()]

    def new(self, request: HttpRequest) -> HttpResponse:
        if not self.may_manage(request):
            raise PermissionDenied
        if request.method != "POST":
            return self.form_page(request, self.first_form(request))
        form = self.form_class(request.POST)
        if not form.is_valid() or "back" in request.POST:
            return self.form_page(request, form)
        if "confirmed" not in request.POST:
            return self.confirm_page(request, form)
        stored = form.save(actor_of(request))
        if stored is None:
            return self.form_page(request, form)
        messages.success(request, self.stored_message)
        return see_other(self.page_url(stored.pk))

    def form_page(self, request: HttpRequest, form: MatchersForm) -> HttpResponse:
        context = {
            "title": self.new_title,
            "form": form,
            "explained": self.new_explained,
            "alertmanager_is_set": bool(settings.ALERTMANAGER_URL),
        }
        return self.framed(request, "observability/console/silence_form.html", context)

    def confirm_page(self, request: HttpRequest, form: MatchersForm) -> HttpResponse:
        found = form.preview()
        if found is None:
            return self.form_page(request, form)
        context = {
            "title": self.new_title,
            "form": form,
            "data": form.cleaned_data,
            "matchers": form.found,
            "preview": found,
            **self.confirmation(form),
        }
        return self.framed(request, self.confirm_template, context)
