"""The words of `kyc.words`, for templates."""

from __future__ import annotations

from datetime import datetime

import pycountry
from django import template
from django.utils.safestring import SafeString

from core.console import display
from kyc.models import Case, State
from kyc.words import STATE_MARKS, provider_name

register = template.Library()


@register.filter
def case_mark(case: Case) -> SafeString:
    """The coloured word for a case's state."""
    return display.badge(*STATE_MARKS[State(case.state)])


@register.filter
def edge(case: Case) -> str:
    """The class that colours the edge of a case's page."""
    return f"am-{STATE_MARKS[State(case.state)][0]}"


@register.filter
def provider(name: str) -> str:
    return provider_name(name)


@register.filter
def country(code: str) -> str:
    """`Nigeria (NG)`; a code that is none stays as it is."""
    found = pycountry.countries.get(alpha_2=code)
    return f"{found.name} ({code})" if found else code


@register.filter
def to_the_minute(moment: datetime) -> SafeString:
    return display.time_tag(moment, display.clock(moment))
