"""What is read out of a message. Whatever it holds becomes text: escaped, and never a reason to fail."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from observability.notifiers.links import safe_url

SEVERITY = re.compile(r"\b(critical|error|warning|info)\b", re.IGNORECASE)
RESOLVED = re.compile(r"\bRESOLVED\b")
# What Slack's mrkdwn makes of text: <address|words>, `code`, *bold*.
MARKUP = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>|`([^`\n]+)`|\*([^*\n]+)\*")


@dataclass(slots=True)
class Card:
    """What is shown of a message. `title`, `action` and `severity` are plain text, the others HTML."""

    title: str
    action: str  # what PagerDuty is asked to do; for Slack "resolve" or nothing
    severity: str
    incident: str = ""  # PagerDuty's dedup_key
    notes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def card_of(channel: str, body: dict[str, Any]) -> Card:
    return slack_card(body) if channel == "Slack" else pagerduty_card(body)


# --- Slack: Amani sends blocks, Alertmanager attachments ---


def slack_card(body: dict[str, Any]) -> Card:
    blocks, attachments = objects(body.get("blocks")), objects(body.get("attachments"))
    headers = [plain(block.get("text")) for block in blocks if block.get("type") == "header"]
    titles = [*headers, *(unescaped(text(part.get("title"))) for part in attachments)]
    title = next(filter(None, titles), unescaped(text(body.get("text")))) or "(no title)"
    said = f"{title} {' '.join(text(part.get('text')) for part in attachments)}"
    severity = SEVERITY.search(said)
    card = Card(title, "resolve" if RESOLVED.search(title) else "", severity[1].lower() if severity else "")
    for block in blocks:
        read_block(block, card)
    for part in attachments:
        read_attachment(part, card)
    return card


def read_block(block: dict[str, Any], card: Card) -> None:
    card.notes += [words(element) for element in objects(block.get("elements"))]
    for pair in objects(block.get("fields")):
        name, _, value = text(pair.get("text")).partition("\n")
        card.fields.append((unescaped(name).strip("*`"), mrkdwn(value)))
    if block.get("type") == "section" and isinstance(block.get("text"), dict):
        card.texts.append(words(block["text"]))


def read_attachment(part: dict[str, Any], card: Card) -> None:
    card.texts.append(mrkdwn(text(part.get("text"))))
    card.fields += [
        (text(pair.get("title")), mrkdwn(text(pair.get("value")))) for pair in objects(part.get("fields"))
    ]
    if part.get("title_link"):
        card.links.append(link(text(part["title_link"]), "Open"))


def words(element: dict[str, Any]) -> str:
    said = text(element.get("text"))
    return mrkdwn(said) if element.get("type") == "mrkdwn" else escape(unescaped(said))


def plain(element: object) -> str:
    return unescaped(text(element.get("text"))) if isinstance(element, dict) else ""


def unescaped(said: str) -> str:
    """Slack's own escaping, of three characters."""
    return said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mrkdwn(said: str) -> str:
    return "".join(pieces(said))


def pieces(said: str) -> Iterator[str]:
    end = 0
    for found in MARKUP.finditer(said):
        yield escape(unescaped(said[end : found.start()]))
        address, label, code, bold = (unescaped(group or "") for group in found.groups())
        if code:
            yield f"<code>{escape(code)}</code>"
        elif bold:
            yield f"<b>{escape(bold)}</b>"
        elif address.startswith("!"):  # <!date^…|2025-03-01 12:00:00 UTC>
            yield escape(label or address)
        else:
            yield link(address, label or address)
        end = found.end()
    yield escape(unescaped(said[end:]))


# --- PagerDuty: Events API v2 ---


def pagerduty_card(body: dict[str, Any]) -> Card:
    payload = body["payload"] if isinstance(body.get("payload"), dict) else {}
    details = payload.get("custom_details")
    incident = text(body.get("dedup_key"))
    title = text(payload.get("summary")) or f"Incident {incident}"
    card = Card(title, text(body.get("event_action")), text(payload.get("severity")), incident)
    names = ("source", "component", "class", "group")
    card.fields += [(name, escape(text(payload[name]))) for name in names if payload.get(name)]
    for name, value in flat(details if isinstance(details, dict) else {}):
        if name == "description":
            card.texts.append(escape(value))
        else:
            card.fields.append((name, escape(value)))
    card.links += [
        link(text(each.get("href")), text(each.get("text")) or "Link") for each in objects(body.get("links"))
    ]
    if body.get("client_url") and not card.links:
        card.links.append(link(text(body["client_url"]), text(body.get("client")) or "Open"))
    return card


def flat(details: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in details.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", text(own)) for inner, own in value.items())
        else:
            yield name, text(value)


# --- parts ---


def link(address: str, label: str) -> str:
    """Clickable for http and https only; anything else stays visible as the text that it is."""
    safe = safe_url(address)
    if not safe:
        return escape(label if label == address else f"{label} ({address})")
    return f'<a href="{escape(safe)}" target="_blank" rel="noopener noreferrer">{escape(label)}</a>'


def objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Lists and objects are left to the JSON below the message."""
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, int | float) else ""
