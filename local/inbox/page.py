"""The page of the inbox: one article for each message, the newest on top."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from local.inbox.cards import Card

TEMPLATE = Path(__file__).with_name("page.html").read_text()
SEND_ONE = ".venv/bin/python manage.py send_test_alert"
EMPTY = f'<p class="empty">No message yet. Send one: <code>{SEND_ONE}</code></p>'


@dataclass(frozen=True, slots=True)
class Received:
    channel: str
    at: datetime
    card: Card
    json: str

    @property
    def anchor(self) -> str:
        """Of this message alone, also for a page that was open before the inbox started anew."""
        return f"m{self.at.timestamp():.6f}".replace(".", "-")


def page(messages: Sequence[Received], *, total: int) -> str:
    """`messages`: newest first; `total`: how many there have been."""
    # Only a trigger says what an incident is about.
    titles = {each.card.incident: each.card.title for each in messages if each.card.action == "trigger"}
    shown = "\n".join(article(message, titles) for message in messages) or EMPTY
    count = f"the newest {len(messages)} of {total}" if total > len(messages) else str(total)
    return Template(TEMPLATE).substitute(count=count, messages=shown)


def article(message: Received, titles: Mapping[str, str]) -> str:
    card = message.card
    title = card.title if card.action == "trigger" else titles.get(card.incident, card.title)
    marks = [mark("channel", message.channel), mark("action", card.action), mark("severity", card.severity)]
    tone = "resolve" if card.action == "resolve" else card.severity
    fields = [f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in card.fields]
    return f"""<article id="{message.anchor}" data-tone="{escape(tone)}">
<header>{"".join(marks)}<time datetime="{message.at.isoformat()}">{message.at:%H:%M:%S}</time></header>
<h2>{escape(title)}</h2>
{wrapped("p", "notes", " · ".join(filter(None, card.notes)))}
{"".join(wrapped("p", "text", said) for said in card.texts)}
{wrapped("dl", "fields", "".join(fields))}
{wrapped("p", "links", " · ".join(card.links))}
<details><summary>JSON</summary><pre>{escape(message.json)}</pre></details>
</article>"""


def mark(kind: str, said: str) -> str:
    return f'<span class="mark {kind}" data-tone="{escape(said)}">{escape(said)}</span>' if said else ""


def policy() -> str:
    """Only the page's own style and script run, known by their hashes; it may ask for nothing but itself."""
    style, script = (hash_of(kind) for kind in ("style", "script"))
    own = f"style-src {style}; script-src {script}; connect-src 'self'; img-src data:"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def hash_of(kind: str) -> str:
    content = TEMPLATE.partition(f"<{kind}>")[2].partition(f"</{kind}>")[0]
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def wrapped(tag: str, kind: str, content: str) -> str:
    return f'<{tag} class="{kind}">{content}</{tag}>' if content else ""
