"""The pages that tune a shipped rule, and add, edit and end an own one: form, confirmation, service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from core.console.history import HistoryAdmin, actor_of, posted_reason, see_other
from observability.admin.rule_forms import OwnForm, TuneForm, typed_own, typed_tuning
from observability.admin.rule_preview import trying
from observability.models import AlertRule, RuleChange
from observability.roles import TUNE_RULE
from observability.rules import own, tuning
from observability.rules.comparing import (
    NO_RULE,
    Line,
    Step,
    changed_by_release,
    definition_lines,
    lines_between,
    sides,
    steps,
)
from observability.rules.effective import effective_of, is_disabled, newest_changes
from observability.rules.expressions.lints import Lint, lint

MOST_CHANGES = 50
MEANWHILE = (
    "Nothing was saved, because another operator has changed the rule. Look at the change, then decide."
)


class RuleEditor(HistoryAdmin):
    """Adds the editor to the pages of rules. The page of a rule says what is tuned; these change it."""

    def get_urls(self) -> list[URLPattern]:
        return [
            self.form_path("own/", "create", self.create),
            self.form_path("<int:pk>/tune/", "tune", self.tune),
            self.action_path("end", TUNE_RULE, self.end),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        more = {**(extra_context or {}), "may_tune": self.may(request, TUNE_RULE)}
        answer: HttpResponse = super().changelist_view(request, more)
        return answer

    def form_path(self, route: str, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Returns the URL pattern of a form: 403 without the permission."""

        def guarded(request: HttpRequest, **values: int) -> HttpResponse:
            if not self.may(request, TUNE_RULE):
                raise PermissionDenied
            return view(request, **values)

        guarded_view = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(guarded))
        pattern: URLPattern = path(route, guarded_view, name=self.url_name(name).removeprefix("admin:"))
        return pattern

    def editor_context(self, request: HttpRequest, rule: AlertRule) -> dict[str, Any]:
        """Returns what the page of a rule shows of its tuning and its changes."""
        changes = changes_of(rule)
        newest = changes[0] if changes else None
        return {
            "may_tune": self.may(request, TUNE_RULE),
            "effective": effective_of(rule, newest),
            "is_disabled": is_disabled(newest),
            "sides": [] if rule.is_own or rule.kind == AlertRule.Kind.RECORD else sides(rule, newest),
            "is_tuned": newest is not None and tuning.tuning_of(newest) != tuning.NOTHING,
            "changed_by_release": changed_by_release(rule, newest),
            "steps": steps(rule, changes)[:MOST_CHANGES],
            "version": newest.version if newest else 0,
        }

    # --- A rule that exists ---

    def tune(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule = self.get_object(request, str(pk))
        if rule is None:
            raise Http404(f"There is no rule {pk}.")
        newest = newest_changes([rule]).get(rule.pk)
        form: TuneForm | OwnForm
        if rule.is_own:
            form = OwnForm(rule, *posted(request), initial=typed_own(rule, version_of(newest)))
        else:
            reset = request.GET.get("reset", "")
            form = TuneForm(rule, *posted(request), initial=typed_tuning(newest, reset))
        return self.answer(request, form, rule, newest)

    def create(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request, OwnForm(None, *posted(request)), None, None)

    def answer(
        self,
        request: HttpRequest,
        form: TuneForm | OwnForm,
        rule: AlertRule | None,
        newest: RuleChange | None,
    ) -> HttpResponse:
        """Answers with the form, its confirmation, or, once confirmed, the page of the rule."""
        if request.method != "POST" or not form.is_valid() or "back" in request.POST:
            return self.form_page(request, form, rule, newest)
        if form.cleaned_data["seen"] != version_of(newest):
            messages.warning(request, MEANWHILE)
            return self.form_page(request, form, rule, newest)
        if "confirmed" not in request.POST:
            return self.confirm_page(request, form, rule, newest)
        saved = form.save(actor_of(request))
        if saved is None:
            return self.form_page(request, form, rule, newest)
        messages.success(request, "The rule is saved. Publish the rules to have Prometheus load it.")
        return see_other(self.page_url(saved.rule_id if isinstance(saved, RuleChange) else saved.pk))

    def form_page(
        self,
        request: HttpRequest,
        form: TuneForm | OwnForm,
        rule: AlertRule | None,
        newest: RuleChange | None,
    ) -> HttpResponse:
        """Shows the form again with what was typed, and with what other operators changed meanwhile."""
        seen = form["seen"].value()
        context = {
            "title": title_of(rule),
            "form": form,
            "row": rule,
            "meanwhile": meanwhile(rule, seen) if form.is_bound else [],
            "newest_version": version_of(newest),
            "released": changed_by_release(rule, newest) if rule else [],
        }
        return self.framed(request, "observability/console/rule_form.html", context)

    def confirm_page(
        self,
        request: HttpRequest,
        form: TuneForm | OwnForm,
        rule: AlertRule | None,
        newest: RuleChange | None,
    ) -> HttpResponse:
        changed = self.changed_by(form, newest)
        if changed is None:
            return self.form_page(request, form, rule, newest)
        lints = lints_of(form, changed)
        if isinstance(form, OwnForm):
            form.adding_errors(lambda: own.refuse_errors(lints))
        if form.errors:
            return self.form_page(request, form, rule, newest)
        context = {
            "title": title_of(rule),
            "form": form,
            "row": rule,
            "lines": changed,
            "relabels": isinstance(form, TuneForm) and any(line.what in RELABELS for line in changed),
            "reason": form.cleaned_data["reason"],
            "lints": lints,
            "trying": trying_tuned(form) if isinstance(form, TuneForm) else "",
        }
        return self.framed(request, "observability/console/rule_confirm.html", context)

    def changed_by(self, form: TuneForm | OwnForm, newest: RuleChange | None) -> list[Line] | None:
        """Returns what saving would change; None after adding an error to the form."""
        if isinstance(form, OwnForm):
            columns = form.adding_errors(lambda: own.columns_from(form.own()))
            if columns is None:
                return None
            if form.rule is not None:
                rule, wanted_own = form.rule, form.own()
                form.adding_errors(lambda: own.refuse_unchanged(rule, wanted_own))
            before = form.rule.definition if form.rule else NO_RULE
            return list(definition_lines(before, columns))
        wanted = tuning.checked(form.rule, form.tuning())
        form.adding_errors(lambda: tuning.refuse_unchanged(form.rule, newest, wanted))
        expression = form.adding_errors(lambda: tuning.expression_with(form.rule, wanted.threshold))
        if expression is None:
            return None
        after = RuleChange(rule=form.rule, kind=RuleChange.Kind.TUNED, **wanted._asdict())
        lines = list(lines_between(form.rule, newest, after))
        effective = effective_of(form.rule, newest).expression
        if (expression or form.rule.expression) != effective:
            lines.append(Line("expression", effective, expression or form.rule.expression))
        return lines

    def end(self, request: HttpRequest, pk: int) -> HttpResponse:
        seen = request.POST.get("seen", "")
        self.perform(
            request,
            "The rule has ended. Publish the rules to have Prometheus drop it.",
            lambda: own.end_rule(
                rule_id=pk,
                actor=actor_of(request),
                reason=posted_reason(request),
                seen_version=int(seen) if seen.isdecimal() and len(seen) < 10 else 0,
            ),
        )
        return see_other(self.page_url(pk))


RELABELS = ("severity", "more labels")


def trying_tuned(form: TuneForm) -> str:
    """Returns the address of the preview of what the form says; an empty field is as shipped."""
    rule, wanted = form.rule, form.tuning()
    return trying(
        rule,
        rule.threshold if wanted.threshold is None else wanted.threshold,
        rule.for_seconds if wanted.for_seconds is None else wanted.for_seconds,
        rule.keep_firing_for_seconds
        if wanted.keep_firing_for_seconds is None
        else wanted.keep_firing_for_seconds,
    )


def lints_of(form: TuneForm | OwnForm, changed: list[Line]) -> list[Lint]:
    """Returns the findings about an own rule, or about a shipped one whose expression changes."""
    if isinstance(form, OwnForm):
        return own.lints_of(form.own())
    expression = next((line.after for line in changed if line.what == "expression"), "")
    return lint(expression, form.rule.annotations.values()) if expression else []


def posted(request: HttpRequest) -> tuple[Any, ...]:
    return (request.POST,) if request.method == "POST" else ()


def changes_of(rule: AlertRule) -> list[RuleChange]:
    """Returns the newest changes first."""
    changes = RuleChange.objects.filter(rule=rule).select_related("actor").order_by("-version")
    return list(changes[: MOST_CHANGES + 1])  # one more, to say what the last one shown changed


def meanwhile(rule: AlertRule | None, seen: Any) -> list[Step]:
    """Returns the changes that the operator has not seen when the form was sent."""
    if rule is None or not str(seen).isdecimal():
        return []
    return [step for step in steps(rule, changes_of(rule)) if step.change.version > int(seen)]


def version_of(change: RuleChange | None) -> int:
    return change.version if change else 0


def title_of(rule: AlertRule | None) -> str:
    if rule is None:
        return "Add a rule"
    return f"{'Edit' if rule.is_own else 'Tune'} {rule.name}"
