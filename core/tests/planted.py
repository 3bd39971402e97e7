"""Secrets that tests plant, each with the text that an application would put around it.

`text` begins with a mark, which is no secret. An output with the mark and without the value shows that the
value was hidden; an output with neither shows nothing.
"""

from __future__ import annotations

import base64
import html
import json
from typing import NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST_SEARCHED = 6  # a PIN's four digits would be found in any long number


class Planted(NamedTuple):
    mark: str
    value: str
    wording: str

    @property
    def text(self) -> str:
        return f"{self.mark} {self.wording.format(self.value)}"


# Name, value, wording. The names say where the test of a whole installation puts them.
TABLE = (
    # In requests
    ("form password", "Tr0ub4dor&3-form", "password={}"),
    ("json card", "4111 1111 1111 1111", "Card {} was offered"),
    ("bearer header", "bearer-9f8e7d6c5b4a-header", "Authorization: Bearer {}"),
    ("basic header", "s3same-0pen-header", "signed in as amy with password '{}'"),
    ("cookie", "k2j4h5g6f7d8s9a0-cookie", "Cookie: sessionid={}"),
    ("api key header", "key-55aa66bb77cc88dd", "X-Api-Key: {}"),
    ("query token", "qt-1029384756-abcdef", "GET /x?token={}&page=2"),
    ("query e-mail", "query.person@example.com", "Looked for {}"),
    ("reset token", "d4k2x9-0f1e2d3c4b5a69788796a5b4c3d2e1f0", "Opened /accounts/reset/MQ/{}/"),
    ("missing path", "5105-1051-0510-5100", "Not found: /cards/{}"),
    ("user agent", "agent.person@example.org", "Browser of {}"),
    ("referer", "rt-5647382910-fedcba", "https://example.com/?access_token={}"),
    ("host", "sk_live_51HostHostHostHost", "{}.example.com"),
    ("request id", "4012888888881881", "{}"),
    ("baggage", "baggage.person@example.net", "user={}"),
    # In code: locals, exceptions
    ("local", "l0cal-variable-passphrase", "passphrase: {}"),
    ("exception", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "Signature did not match {}"),
    ("cause", "5555 5555 5555 4444", "The bank refused card {}"),
    ("context of exception", "+234 803 123 4567", "No answer from {}"),
    ("group member", "22123456789", "BVN {} is not known"),
    ("note", "AKIAIOSFODNN7EXAMPLE", "Uploaded as {}"),
    # In SQL
    ("sql parameter", "sql.person@example.com", "{}"),
    ("sql literal", "hunter2-literal-pw", "password = '{}'"),
    ("sql wrong type", "a-value-in-a-number-field", "{}"),
    ("sql key", "90817263545", "{}"),
    # In tasks
    ("task argument", "6011 1111 1111 1117", "{}"),
    ("task keyword", "kw-secret-7788990011", "api_key='{}'"),
    ("unknown task", "unregistered-kw-4455667788", "{}"),
    ("task exception", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "Could not clone with {}"),
    # In log lines and breadcrumbs
    ("log message", "lm-0192837465-qwerty", "secret={} was used"),
    ("log argument", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "Signed in with {}"),
    ("log extra", "extra-0a1b2c3d4e5f", "{}"),
    ("log field", "GB82WEST12345698765432", "Paid to {}"),
    ("breadcrumb", "crumb-pin-code-998877", '{{"pin": "{}"}}'),
    ("capture context", "ctx-client-secret-1122", "client_secret={}"),
    ("user info", "info.person@example.com", "{}"),
    # In spans
    ("span name", "2223003122003222", "charge {}"),
    ("span attribute", "att-r3fresh-tok3n-77", "refresh_token={}"),
    ("span event", "0803 123 4568", "Called {}"),
    # In alerts
    ("alert label", "label.person@example.com", "{}"),
    ("alert annotation", "ann-db-pass-00112233", "postgresql://amani:{}@db/amani is down"),
    ("alert link", "link-user-pass-445566", "https://ops:{}@grafana.example.com/d/1"),
    ("alert message", "378282246310005", "Payout to card {} failed"),
    ("alert context", "ctx-password-99887766", "{}"),
    ("alert context text", "3087654321", "Account {} is empty"),
    ("bad alert", "bad.alert@example.com", "{}"),
    # In what others answer
    ("called url", "cu-apikey-a9b8c7d6", "{}"),
    ("vendor echo", "echo.person@example.com", "no such user {}"),
    ("vendor header", "vh-session-5f6e7d8c", "set-cookie: session={}"),
    ("slack answer", "slack.person@example.com", "unknown user {}"),
    ("pagerduty answer", "4242 4242 4242 4242", "card {} in payload"),
)

PLANTED = {
    name: Planted(f"mark-{number:02d}", value, wording)
    for number, (name, value, wording) in enumerate(TABLE, start=1)
}


def spellings(value: str) -> set[str]:
    """`value` in every form in which it might have left: as it is, in URLs, JSON, HTML, Python, Base64."""
    in_json = json.dumps(value)[1:-1]
    forms = {value, in_json, in_json.replace("/", "\\/"), repr(value)[1:-1], html.escape(value)}
    forms |= {quote(value, safe=""), quote(value), quote_plus(value), value.lower(), value.upper()}
    forms |= {value.replace(" ", "").replace("-", "")}  # a number without its gaps
    forms |= base64_of(value)
    return {form for form in forms if len(form) >= SHORTEST_SEARCHED}


def base64_of(value: str) -> set[str]:
    """What stays the same of `value` in the Base64 of any longer text: for each of three alignments."""
    found = set()
    for shift in range(3):
        raw = b"x" * shift + value.encode()
        whole = base64.b64encode(raw[: len(raw) - len(raw) % 3]).decode()
        found.add(whole[4 if shift else 0 :])
    return found


def found_in(output: bytes, value: str) -> list[str]:
    """The spellings of `value` that are in `output`."""
    return sorted(form for form in spellings(value) if form.encode() in output)
