"""Shows the versions of the published rules, publishes the rules as they are, and goes back to an earlier
version."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe

from core.console import display
from core.console.history import HistoryAdmin, actor_of, posted_reason, see_other
from core.errors import AmaniError
from observability.models import RulesVersion
from observability.roles import TUNE_RULE
from observability.rules.publication import diff, versions
from observability.rules.publication.errors import RulesChangedMeanwhile
from observability.rules.publication.reverting import revert, tuned_as_in
from observability.rules.publication.versions import Candidate, State, publish
from observability.rules.render import FILE

BADGES = {
    State.WAITING: ("waiting", "schedule", "Waiting"),
    State.PUBLISHING: ("waiting", "sync", "Being published"),
    State.PUBLISHED: ("good", "check_circle", "Published"),
    State.REFUSED: ("bad", "error", "Not published"),
    State.SUPERSEDED: ("quiet", "history", "Replaced"),
}
CONTENT = ("files", "changes", "replaced")  # some 70 KB a row, which a list does not need
DIGEST_LENGTH = 64


@admin.register(RulesVersion)
class RulesVersionAdmin(HistoryAdmin):
    page_template = "observability/console/rules_version.html"
    list_display = ("number_column", "state_column", "why", "by", "made")
    list_display_links = ("number_column",)
    list_filter = ("state",)
    ordering = ("-number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RulesVersion]:
        return RulesVersion.objects.select_related("author", "reverts_to").defer(
            *CONTENT, *(f"reverts_to__{name}" for name in CONTENT)
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> RulesVersion | None:
        if not object_id.isdecimal():
            return None
        return RulesVersion.objects.select_related("author", "reverts_to").filter(pk=object_id).first()

    @admin.display(description="version", ordering="number")
    def number_column(self, version: RulesVersion) -> SafeString:
        return format_html('<span class="am-name">Version {}</span>', version.number)

    @admin.display(description="state")
    def state_column(self, version: RulesVersion) -> SafeString:
        return format_html(
            '{}<span class="am-second am-wrap">{}</span>',
            display.badge(*BADGES[State(version.state)]),
            display.short(version.last_error),
        )

    @admin.display(description="why")
    def why(self, version: RulesVersion) -> SafeString:
        return format_html('<span class="am-wrap">{}</span>', display.short(version.reason))

    @admin.display(description="by")
    def by(self, version: RulesVersion) -> str:
        return str(version.author or version.author_text)

    @admin.display(description="made", ordering="created_at")
    def made(self, version: RulesVersion) -> SafeString:
        return display.time_tag(version.created_at, display.ago(version.created_at))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        present = versions.present()
        is_on = versions.is_on()
        context = {
            "is_on": is_on,
            "present": present,
            "differs": is_on and (present is None or present.digest != versions.candidate().digest),
            "may_publish": self.may(request, TUNE_RULE),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def page_context(self, request: HttpRequest, row: RulesVersion) -> dict[str, Any]:
        before = versions.published_before(row)
        may = versions.is_on() and self.may(request, TUNE_RULE)
        pointed = diff.around(versions.text_of(row), row.refused_line) if row.refused_line else []
        return {
            "badge": display.badge(*BADGES[State(row.state)]),
            "before": before,
            "parts": diff.diff(before.files, row.files) if before else [],
            "pointed": pointed,
            "pointer": " " * ((row.refused_column or 1) - 1) + "^",
            "now": timezone.now(),
            "may_publish": may and row.state == State.REFUSED,
            "may_revert": may and row.state == State.SUPERSEDED and row.published_at is not None,
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.form_path("publish/", "publish", self.publish_page),
            self.form_path("<int:pk>/revert/", "revert", self.revert_page),
            path(
                "<int:pk>/file/",
                self.admin_site.admin_view(require_safe(self.file)),
                name=self.url_name("file").removeprefix("admin:"),
            ),
            *super().get_urls(),
        ]

    def form_path(self, route: str, name: str, view: Any) -> URLPattern:
        def guarded(request: HttpRequest, **values: int) -> HttpResponse:
            if not self.may(request, TUNE_RULE):
                raise PermissionDenied
            response: HttpResponse = view(request, **values)
            return response

        checked = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(guarded))
        pattern: URLPattern = path(route, checked, name=self.url_name(name).removeprefix("admin:"))
        return pattern

    def file(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answers with the rule file, as it is written."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        version = self.version(pk)
        name = f"{FILE.removesuffix('.yml')}-{version.number}.yml"
        return HttpResponse(
            versions.text_of(version),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def version(self, pk: int) -> RulesVersion:
        try:
            return RulesVersion.objects.get(pk=pk)
        except RulesVersion.DoesNotExist as problem:
            raise Http404(f"There is no version with the id {pk}.") from problem

    # --- Publishing, and going back ---

    def publish_page(self, request: HttpRequest) -> HttpResponse:
        def save(seen: int, digest: str) -> RulesVersion:
            reason = posted_reason(request)
            return publish(author=actor_of(request), reason=reason, seen=seen, digest=digest)

        texts = {
            "title": "Publish the rules",
            "button": "Publish",
            "explained": "These rules become the next version.",
        }
        return self.form_page(request, versions.candidate, save, texts)

    def revert_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        version = self.version(pk)

        def save(seen: int, digest: str) -> RulesVersion:
            reason = posted_reason(request)
            return revert(version=version, author=actor_of(request), reason=reason, seen=seen, digest=digest)

        texts = {
            "title": f"Go back to version {version.number}",
            "button": f"Go back to version {version.number}",
            "explained": (
                "What operators had tuned at that version holds again, as a new version. What a release has "
                "changed since then stays."
            ),
        }
        return self.form_page(request, lambda: tuned_as_in(version), save, texts)

    def form_page(self, request: HttpRequest, rules: Any, save: Any, texts: dict[str, str]) -> HttpResponse:
        """Shows what would be published; a POST publishes it, if the operator has seen all of it."""
        seen, digest = posted_number(request), request.POST.get("digest", "")[:DIGEST_LENGTH]
        meanwhile = None
        if request.method == "POST":
            try:
                version = save(seen, digest)
            except RulesChangedMeanwhile as changed:
                messages.warning(request, str(changed))
                meanwhile = changed_since(seen)
            except AmaniError as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, f"Version {version.number} is stored. The worker publishes it now.")
                return see_other(self.page_url(version.pk))
        candidate: Candidate = rules()
        present = versions.present()
        context = {
            "present": present,
            "parts": diff.diff(present.files if present else {}, candidate.files),
            "rule_count": candidate.rule_count,
            "seen": versions.newest_number(),
            "digest": candidate.digest,
            "reason": posted_reason(request),
            "meanwhile": meanwhile,
        }
        return self.framed(request, "observability/console/rules_publish.html", {**context, **texts})


def posted_number(request: HttpRequest) -> int:
    """Returns the number of the version that the operator has seen; 0 for none, also for an odd value."""
    text = request.POST.get("seen", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def changed_since(number: int) -> list[diff.Part]:
    """Returns what the newest version changed in the one of this number."""
    newest = RulesVersion.objects.first()
    seen = RulesVersion.objects.filter(number=number).first()
    return diff.diff(seen.files if seen else {}, newest.files) if newest else []
