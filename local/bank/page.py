"""The bank's page: one article for each payment and payout, with what a person can do to it."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from core.money import exponent_of, format_amount
from local.bank.book import ACTIONS, COLLECTION, Entry
from local.bank.webhooks import WAYS
from observability.notifiers.links import safe_url

TEMPLATE = Path(__file__).with_name("page.html").read_text()
EMPTY = '<p class="empty">No payment and no payout yet. Fund an escrow, or take money out, in Amani.</p>'
TONES = {
    "received": "good",
    "settled": "good",
    "unpaid": "bad",
    "failed": "bad",
    "reversed": "odd",
    "under_review": "odd",
}
BUTTONS = {
    "pay": "Pay",
    "decline": "Decline",
    "confirm": "Confirm",
    "fail": "Fail",
    "reverse": "Reverse",
    "puzzle": "Puzzle",
}
# What the bank does with the next payout that Amani sends.
FAULTS = {
    "": "answer as usual",
    "empty": "take it, answer nothing",
    "hang": "take it, never answer",
    "reset": "take it, break the connection",
    "error": "take it, answer 503",
    "lost": "lose it, answer 503",
    "refuse": "refuse it",
}


def page(entries: Sequence[Entry], *, held: int, fault: str, at: str) -> str:
    """`entries`: newest first; `at`: the address to return to after an action."""
    shown = "\n".join(article(entry, at) for entry in entries) or EMPTY
    return Template(TEMPLATE).substitute(
        count=len(entries), entries=shown, held=held_back(held, at), fault=faults(fault, at)
    )


def article(entry: Entry, at: str) -> str:
    facts = entry.facts
    title = facts.get("title") or facts.get("reason") or entry.reference
    amount = format_amount(entry.amount_minor, entry.currency)
    back = safe_url(str(facts.get("return_url") or "")) or ""
    return f"""<article id="{anchor(entry)}" data-tone="{TONES.get(entry.status, "open")}">
<header><span class="mark kind">{"Payment" if entry.kind == COLLECTION else "Payout"}</span>
<span class="mark status">{escape(entry.status)}</span>{again(entry)}
<time>{escape(entry.at[11:19])}</time></header>
<h2>{escape(amount)} <small>{escape(str(title))}</small></h2>
<dl class="fields">{"".join(fields(entry))}</dl>
<form method="post" action="/act" class="act">{hidden(entry, at)}{amount_input(entry)}
{choice("way", WAYS, "now")}
{"".join(button(action) for action in ACTIONS[entry.kind])}</form>
{f'<p class="links"><a href="{escape(back)}">Back to Amani</a></p>' if back else ""}
</article>"""


def anchor(entry: Entry) -> str:
    """Changes with the entry, so that the page replaces what changed and keeps what a person is typing in."""
    return f"{entry.id}-{entry.requests}-{len(entry.history)}"


def again(entry: Entry) -> str:
    return f'<span class="mark">sent {entry.requests} times</span>' if entry.requests > 1 else ""


def fields(entry: Entry) -> list[str]:
    said = {"reference": entry.reference}
    if entry.kind == COLLECTION and entry.paid_minor:
        said["paid"] = format_amount(entry.paid_minor, entry.paid_currency)
    destination = entry.facts.get("destination")
    if isinstance(destination, dict):
        said["account"] = " · ".join(str(value) for value in destination.values() if value)
    if entry.history:
        said["history"] = ", ".join(entry.history)
    return [f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in said.items()]


def amount_input(entry: Entry) -> str:
    if entry.kind != COLLECTION:
        return ""
    amount = f"{entry.amount_minor / 10 ** exponent_of(entry.currency):.{exponent_of(entry.currency)}f}"
    return (
        f'<label>Amount <input name="amount" value="{amount}" inputmode="decimal" size="10"></label>'
        f'<label>Currency <input name="currency" value="{escape(entry.currency)}" size="3"></label>'
    )


def hidden(entry: Entry, at: str) -> str:
    values = {"kind": entry.kind, "reference": entry.reference, "at": at}
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in values.items()
    )


def choice(name: str, options: dict[str, str], chosen: str) -> str:
    lines = [
        f'<option value="{value}"{" selected" if value == chosen else ""}>{escape(words)}</option>'
        for value, words in options.items()
    ]
    return f'<select name="{name}" aria-label="{name}">{"".join(lines)}</select>'


def button(action: str) -> str:
    return f'<button name="action" value="{action}" class="{action}">{BUTTONS[action]}</button>'


def held_back(held: int, at: str) -> str:
    if not held:
        return ""
    words = f"Tell Amani what is held back ({held}), the last first"
    return (
        f'<form method="post" action="/release"><input type="hidden" name="at" value="{escape(at)}">'
        f"<button>{words}</button></form>"
    )


def faults(fault: str, at: str) -> str:
    return (
        f'<form method="post" action="/fault"><input type="hidden" name="at" value="{escape(at)}">'
        f"<label>The next payout: {choice('fault', FAULTS, fault)}</label><button>Set</button></form>"
    )


def address_of(reference: str) -> str:
    """The page of one payment, which Amani gives the buyer."""
    return f"/pay/{quote(reference, safe='')}"


def policy() -> str:
    """Only the page's own style and script run, known by their hashes; forms lead nowhere else."""
    style, script = (hash_of(kind) for kind in ("style", "script"))
    own = f"style-src {style}; script-src {script}; connect-src 'self'; img-src data:; form-action 'self'"
    return f"default-src 'none'; {own}; base-uri 'none'; frame-ancestors 'none'"


def hash_of(kind: str) -> str:
    content = TEMPLATE.partition(f"<{kind}>")[2].partition(f"</{kind}>")[0]
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
