"""Collects what the page of one alert shows, in a number of queries that does not grow with its history."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db.models import Prefetch

from core.console import display
from observability.admin.cause import links as cause_links
from observability.admin.cause import logs
from observability.admin.cause.page import cause_context
from observability.admin.matchers import selector, silence_command
from observability.alerts import badges, endings, escalating, trust
from observability.alerts.delivery.facts import runbook_url
from observability.alerts.intake.annotations import description_of, names_shown_elsewhere
from observability.models import Attempt, Delivery, Episode, EpisodeEvent, Route
from observability.notifiers import registry
from observability.notifiers.links import safe_url
from observability.rules.effective import as_effective
from observability.rules.quality import rules_of
from observability.silences.matchers import is_classic

MOST_EVENTS = 200
MOST_DELIVERIES = 50
MOST_EARLIER = 5
LONGEST_TEXT = 8_192
LONGEST_COMMAND = 20_000  # characters; a longer one is too long for a terminal
EVENT_ICONS = {
    EpisodeEvent.Kind.FIRED: ("firing", "local_fire_department"),
    EpisodeEvent.Kind.RESOLVED: ("good", "check_circle"),
    EpisodeEvent.Kind.UNCONFIRMED: ("warning", "help"),
    EpisodeEvent.Kind.CONTINUES: ("firing", "local_fire_department"),
    EpisodeEvent.Kind.RESTARTED: ("quiet", "history"),
    EpisodeEvent.Kind.SENT: ("quiet", "campaign"),
    EpisodeEvent.Kind.ACKNOWLEDGED: ("info", "back_hand"),
    EpisodeEvent.Kind.NOTE: ("quiet", "edit_note"),
    EpisodeEvent.Kind.MARKED: ("quiet", "thumbs_up_down"),
    EpisodeEvent.Kind.REOPENED: ("firing", "restart_alt"),
    EpisodeEvent.Kind.RESENT: ("info", "forward_to_inbox"),
    EpisodeEvent.Kind.ENDING: ("quiet", "troubleshoot"),
    EpisodeEvent.Kind.SILENCE: ("info", "notifications_paused"),
    EpisodeEvent.Kind.SILENCED: ("quiet", "notifications_paused"),
    EpisodeEvent.Kind.UNSILENCED: ("info", "notifications_active"),
    EpisodeEvent.Kind.ESCALATED: ("warning", "trending_up"),
}


def page_context(episode: Episode) -> dict[str, Any]:
    """Returns the context of the alert's page."""
    deliveries = deliveries_of(episode)
    events = list(episode.events.select_related("actor").order_by("-id")[:MOST_EVENTS])
    return {
        **cause_context(episode),
        "timeline": [
            (event, *EVENT_ICONS[EpisodeEvent.Kind(event.kind)], *log_lines_of(event)) for event in events
        ],
        "deliveries": deliveries,
        "explain_not_notified": badges.explain_not_notified(
            episode, [delivery for delivery, _attempts in deliveries]
        ),
        "ending": endings.sentence(episode),
        "leaves_incident_open": not episode.recovered and has_incident(episode),
        "next_steps": escalating.next_steps(episode),
        "route": Route.objects.filter(pk=episode.route_id or 0).first(),
        "earlier": list(
            Episode.objects.filter(fingerprint=episode.fingerprint, starts_at__lt=episode.starts_at).order_by(
                "-starts_at"
            )[:MOST_EARLIER]
        ),
        "rules": as_effective(rules_of(episode)),
        "suppressions": list(episode.suppressions.select_related("silence").order_by("-id")[:MOST_EARLIER]),
        "links": links_of(episode),
        "resolves_are_unchecked": episode.source == Episode.Source.ALERTMANAGER
        and trust.resolves_are_unchecked(),
        "description": display.short(description_of(episode.annotations), LONGEST_TEXT),
        "summary": display.short(episode.summary, LONGEST_TEXT),
        **labels_of(episode),
        **annotations_of(episode),
        "unknown_severity": episode.labels.get("severity", "") if episode.severity_is_unknown else "",
        "silence_command": silence_command_of(episode),
    }


def has_incident(episode: Episode) -> bool:
    """Returns whether one of the alert's channels keeps an incident for it."""
    notifiers = map(registry.NOTIFIERS.get, episode.channels or registry.NOTIFIERS)
    return any(notifier.keeps_incidents for notifier in notifiers if notifier)


def log_lines_of(event: EpisodeEvent) -> tuple[str, str]:
    """Returns (address, command) that find the log lines of the request that wrote the event; "" for none."""
    if not event.request_id:
        return "", ""
    around = (event.at - logs.AROUND_A_REQUEST, event.at + logs.AROUND_A_REQUEST)
    return cause_links.log_search(event.request_id, *around), logs.request_command(event.request_id, event.at)


def deliveries_of(episode: Episode) -> list[tuple[Delivery, list[Attempt]]]:
    """Returns the newest deliveries first, each with its attempts: its own and those of its digest."""
    attempts = Attempt.objects.order_by("number")
    deliveries = (
        episode.deliveries.select_related("requested_by")
        .order_by("-id")
        .prefetch_related(
            Prefetch("attempts", queryset=attempts),
            "digest",
            Prefetch("digest__attempts", queryset=attempts),
        )[:MOST_DELIVERIES]
    )
    return [(delivery, attempts_of(delivery)) for delivery in deliveries]


def attempts_of(delivery: Delivery) -> list[Attempt]:
    in_digest = list(delivery.digest.attempts.all()) if delivery.digest else []
    return [*delivery.attempts.all(), *in_digest]


def labels_of(episode: Episode) -> dict[str, Any]:
    """Returns the labels that the page shows: an alert may have thousands, which the receipt keeps."""
    shown, left_out = display.first_pairs(episode.labels.items())
    return {"labels": shown, "labels_left_out": left_out}


def annotations_of(episode: Episode) -> dict[str, Any]:
    """Returns (name, text, link or "") for the annotations that the page does not show elsewhere."""
    elsewhere = names_shown_elsewhere(episode.annotations)
    others = ((name, text) for name, text in sorted(episode.annotations.items()) if name not in elsewhere)
    shown, left_out = display.first_pairs(others)
    return {
        "annotations": [(name, text, safe_url(text)) for name, text in shown],
        "annotations_left_out": left_out,
    }


def links_of(episode: Episode) -> list[tuple[str, str, str]]:
    """Returns (icon, text, address) of each related page. Only http and https addresses are kept."""
    links = [
        ("menu_book", "Runbook", safe_url(runbook_url(episode))),
        ("monitoring", "Graph in Prometheus", safe_url(episode.generator_url)),
    ]
    if episode.source == Episode.Source.ALERTMANAGER:
        links += alertmanager_links(episode)
    for notifier in registry.configured():
        links.append(("phone_in_talk", f"Service in {notifier.label}", notifier.page()))
    return [link for link in links if link[2]]


def alertmanager_links(episode: Episode) -> list[tuple[str, str, str]]:
    """Returns links to Alertmanager's page of the alert and, where Amani sets no silences, to its form."""
    labels = episode.labels
    name = {"alertname": labels["alertname"]} if "alertname" in labels else labels
    alerts = f"{settings.ALERTMANAGER_PUBLIC_URL}/#/alerts?filter={quote(selector(name), safe='')}"
    silence = f"{settings.ALERTMANAGER_PUBLIC_URL}/#/silences/new?filter={quote(selector(labels), safe='')}"
    links = [("notifications_active", "Alertmanager", safe_url(alerts))]
    if not settings.ALERTMANAGER_URL:
        links.append(("notifications_paused", "Silence", safe_url(silence)))
    return links


def silence_command_of(episode: Episode) -> str:
    """Returns the command that silences the alert where Alertmanager's form may not take its labels; else "".

    The form does not understand quoted label names in every version; the server does since 0.27.
    """
    if episode.source != Episode.Source.ALERTMANAGER or all(map(is_classic, episode.labels)):
        return ""
    command = silence_command(episode.labels)
    return command if len(command) <= LONGEST_COMMAND else ""
