"""Admits operators to the console after sign-in on django-allauth's pages, with a second factor if required.

Every URL of the console (admin, runbooks, images of documents) calls `has_permission` of this site.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from allauth.account import views
from allauth.account.utils import get_next_redirect_url
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.core.paginator import InvalidPage
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from accounts import second_factor, staff_sessions

RENEWED = "renewed"  # in the address of a page that renewed itself, so it is no sign of an operator's work


class OperatorsSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold ships no types
    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Returns the context of every page, without colours, which Unfold would write into a <style>.

        The content security policy (amani/content_policy.py) refuses styles inside of a page. The colours
        are in core/console.css.
        """
        return {**super().each_context(request), "colors": {}}

    def has_permission(self, request: HttpRequest) -> bool:
        """Returns whether the operator may see the console, and counts the request as use of the session."""
        if not self.is_operator(request) or second_factor.is_missing(request):
            return False
        if RENEWED not in request.GET:
            staff_sessions.touch(request.session)
        return True

    def is_operator(self, request: HttpRequest) -> bool:
        return bool(super().has_permission(request))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Answers with the results of the palette. Raises BadRequest for a page of them that is not there."""
        try:
            response: HttpResponseBase = super().search(request, extra_context)
        except InvalidPage as problem:
            raise BadRequest("There is no such page of results.") from problem
        return response

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirects to the next missing step: sign in, give the second factor, or enrol one."""
        target = get_next_redirect_url(request) or ""
        if not target or target.startswith(request.path):
            target = reverse("admin:index", current_app=self.name)
        if not request.user.is_authenticated:
            return redirect_to_login(target, reverse("account_login"))
        if not self.is_operator(request):
            context = {**self.each_context(request), "title": "No access"}
            return TemplateResponse(request, "accounts/refused.html", context, status=HTTPStatus.FORBIDDEN)
        if second_factor.is_missing(request):
            target = second_factor.url_to_give_factor(request, request.user, target)
        return HttpResponseRedirect(target)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        response: HttpResponseBase = views.logout(request)
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("account_change_password"))


def too_many_attempts(request: HttpRequest) -> HttpResponse:
    """Returns the page that replaces a sign-in page when django-allauth's rate limit is reached."""
    context = {**admin.site.each_context(request), "title": "Too many attempts"}
    response = TemplateResponse(
        request, "accounts/too_many_attempts.html", context, status=HTTPStatus.TOO_MANY_REQUESTS
    )
    return response.render()
