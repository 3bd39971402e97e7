"""Template filters for cases: badges, names of providers and countries."""

from __future__ import annotations

from datetime import datetime

import pycountry
from django import template
from django.utils.safestring import SafeString

from core.console import display
from kyc.badges import STATE_BADGES, provider_name
from kyc.models import Case, State

register = template.Library()


@register.filter
def case_badge(case: Case) -> SafeString:
    """Renders the badge of a case's state."""
    return display.badge(*STATE_BADGES[State(case.state)])


@register.filter
def edge(case: Case) -> str:
    """Returns the CSS class for the colour of a case's edge."""
    return f"am-{STATE_BADGES[State(case.state)][0]}"


@register.filter
def provider(name: str) -> str:
    return provider_name(name)


@register.filter
def country(code: str) -> str:
    """Returns `Nigeria (NG)`, or the code itself if it is unknown."""
    found = pycountry.countries.get(alpha_2=code)
    return f"{found.name} ({code})" if found else code


@register.filter
def to_the_minute(moment: datetime) -> SafeString:
    return display.time_tag(moment, display.clock(moment))
