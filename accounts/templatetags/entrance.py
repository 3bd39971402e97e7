"""Fields of the sign-in pages."""

from __future__ import annotations

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def entry(field: BoundField, has_cursor: bool = False) -> SafeString:  # noqa: FBT001, FBT002  (a template tag)
    """Renders the field's input, linked to its error message; `has_cursor` gives it the focus."""
    attributes: dict[str, str | bool] = {"placeholder": ""}
    if has_cursor:
        attributes["autofocus"] = True
    if field.errors:
        attributes |= {"aria-invalid": "true", "aria-describedby": f"{field.id_for_label}-error"}
    return field.as_widget(attrs=attributes)
