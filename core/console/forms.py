"""The base of forms whose input a service checks, so that the page and the service refuse the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms

from core.errors import AmaniError


class ServiceForm(forms.Form):
    """`field_of`: the field in which the operator typed what the service knows under another name."""

    field_of: ClassVar[Mapping[str, str]] = {}

    def adding_errors(self, call: Callable[[], Any]) -> Any:
        """Returns the result of `call`, or None after adding its AmaniError to the form's fields."""
        try:
            return call()
        except AmaniError as refused:
            if not refused.fields:
                self.add_error(None, str(refused))
            for field, messages in refused.fields.items():
                self.add_error(self.field_of.get(field, field), messages)
            return None
