"""/runbooks/ and /runbooks/<AlertName>/: docs/runbooks for signed-in staff, so that an alert's link works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
MEANS = re.compile(r"^\*\*Means\.\*\* *(.+)$", re.MULTILINE)


def render(text: str) -> SafeString:
    """Return `text`, Markdown with tables, as HTML.

    Raw HTML is escaped. Links lead where `address` says. Images are off: they would load from elsewhere.
    """
    html: str = PARSER.render(text)
    return mark_safe(html)  # noqa: S308  (escaped by the parser, which has HTML off)


def rewrite_links(state: StateCore) -> None:
    """Give every link the target that `address` allows; drop the others and keep their words."""
    for block in state.tokens:
        block.children = list(allowed(block.children or []))


def allowed(tokens: list[Token]) -> Iterator[Token]:
    is_dropped = False
    for token in tokens:
        if token.type == "link_open":
            token.attrs["href"] = address(str(token.attrs["href"]))
            is_dropped = not token.attrs["href"]
        if not (is_dropped and token.type in {"link_open", "link_close"}):
            yield token


PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
PARSER.core.ruler.push("allowed_links", rewrite_links)


def folder() -> Path:
    return Path(settings.BASE_DIR) / "docs" / "runbooks"


def names() -> list[str]:
    return sorted(file.stem for file in folder().glob("*.md") if NAME.fullmatch(file.stem))


def address(target: str) -> str:
    """Return where a link of a runbook leads: another runbook, or the web; "" for everything else.

    Files of the checkout are not served.
    """
    if target.startswith(("https://", "http://")):
        return target
    name, _, anchor = target.partition("#")
    page = name.removesuffix(".md")
    if not name.endswith(".md") or page not in names():
        return ""
    return reverse("runbook", args=[page]) + (f"#{anchor}" if anchor else "")


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    books = [(name, first_words((folder() / f"{name}.md").read_text())) for name in names()]
    return page(request, "amani/runbooks.html", {"title": "Runbooks", "books": books})


@require_safe
def runbook(request: HttpRequest, name: str) -> HttpResponse:
    if name not in names():
        raise Http404(f"There is no runbook {name}.")
    html = render((folder() / f"{name}.md").read_text())
    return page(request, "amani/runbook.html", {"title": name, "html": html})


def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def first_words(text: str) -> SafeString:
    """Return what the alert means, in the page's own words."""
    means = MEANS.search(text)
    return render(means[1]) if means else SafeString()


urlpatterns: list[URLPattern] = [
    path("runbooks/", admin.site.admin_view(index), name="runbooks"),
    path("runbooks/<str:name>/", admin.site.admin_view(runbook), name="runbook"),
]
