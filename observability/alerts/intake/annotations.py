"""Finds summary, description, runbook and dashboard among an alert's annotations, whose names differ by rule.

For each of them a setting has the names to try, in order. The first annotation with a usable value is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings

from observability.notifiers.links import safe_url

Annotations = Mapping[str, str]


def summary_of(annotations: Annotations) -> str:
    """Returns the line that names the problem; "" without one."""
    return annotations.get(summary_name(annotations), "")


def description_of(annotations: Annotations) -> str:
    """Returns the text below the summary; never the annotation that is used as the summary."""
    return annotations.get(description_name(annotations), "")


def runbook_of(annotations: Annotations) -> str:
    """Returns the address of the runbook page; "" when no annotation has one that may become a link."""
    return annotations.get(link_name(annotations, settings.ALERT_RUNBOOK_ANNOTATIONS), "")


def dashboard_of(annotations: Annotations) -> str:
    """Returns the address of the alert's own dashboard; "" when no annotation has one that may become a
    link."""
    return annotations.get(link_name(annotations, settings.ALERT_DASHBOARD_ANNOTATIONS), "")


def names_shown_elsewhere(annotations: Annotations) -> set[str]:
    """Returns the names of the annotations that are the summary, the description or the runbook's link."""
    used = {
        summary_name(annotations),
        description_name(annotations),
        link_name(annotations, settings.ALERT_RUNBOOK_ANNOTATIONS),
    }
    return used - {""}


def summary_name(annotations: Annotations) -> str:
    return first_with_text(annotations, settings.ALERT_SUMMARY_ANNOTATIONS)


def description_name(annotations: Annotations) -> str:
    taken = summary_name(annotations)
    names = [name for name in settings.ALERT_DESCRIPTION_ANNOTATIONS if name != taken]
    return first_with_text(annotations, names)


def first_with_text(annotations: Annotations, names: Sequence[str]) -> str:
    for name in names:  # every alert passes here: a generator would take twice as long
        text = annotations.get(name)
        if text and not text.isspace():
            return name
    return ""


def link_name(annotations: Annotations, names: Sequence[str]) -> str:
    """Returns the first of `names` that has an address: an annotation `runbook` may also hold a sentence."""
    return next((name for name in names if safe_url(annotations.get(name, ""))), "")
