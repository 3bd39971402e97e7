"""Reads and writes the matchers of silences by Alertmanager's rules.

A matcher compares one label; a label that an alert does not have counts as empty. Regular expressions are
anchored at both ends (Alertmanager docs, configuration.md, "Matcher"). Alertmanager evaluates them with RE2,
the history with PostgreSQL. So only those are accepted that mean the same in both: literals, `.`, groups,
alternatives, simple character classes and repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import DataError, connection

from core.errors import Invalid
from observability.silences.limits import limited_statement

CLASSIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUOTED = r'"(?:[^"\\]|\\.)*"'
LINE = re.compile(
    rf'(?P<name>{QUOTED}|[^"=!~]+?)\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>{QUOTED}|[^"]*)', re.S
)
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
MOST_MATCHERS = 50
LONGEST_VALUE = 1_000  # characters
MOST_REPETITIONS = 255  # PostgreSQL's limit; RE2's is 1,000

ITEM = r"(?:[^\[\]\\^-]|\\[^\w\s])"  # of a character class
CLASS = rf"\[\^?(?:{ITEM}(?:-{ITEM})?)+-?\]"
REPETITION = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})"
TOKEN = re.compile(
    rf"(?:{CLASS}|\\[^\w\s]|\((?:\?:)?|[)|^$]|[^\[\]\\(){{}}*+?|^$]|(?P<repetition>{REPETITION}))", re.S
)


class BadMatchers(Invalid):
    """The matchers cannot be those of a silence."""

    code = "bad_matchers"

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"matchers": [message]})


class Matcher(NamedTuple):
    """One matcher. `operator` is one of =, !=, =~ and !~."""

    name: str
    operator: str
    value: str

    @property
    def is_regex(self) -> bool:
        return self.operator.endswith("~")

    @property
    def is_equal(self) -> bool:
        return self.operator.startswith("=")

    def __str__(self) -> str:
        name = self.name if is_classic(self.name) else quoted(self.name)
        return f"{name}{self.operator}{quoted(self.value)}"


def is_classic(name: str) -> bool:
    return CLASSIC_NAME.fullmatch(name) is not None


def quoted(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'


def unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return ESCAPED.sub(lambda escape: {"n": "\n"}.get(escape[1], escape[1]), text[1:-1])


def of_labels(labels: Mapping[str, str]) -> list[Matcher]:
    """Returns the matchers of what has exactly these values."""
    return [Matcher(name, "=", value) for name, value in sorted(labels.items())]


def to_api(matchers: Iterable[Matcher]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "value": each.value, "isRegex": each.is_regex, "isEqual": each.is_equal}
        for each in matchers
    ]


def from_api(found: Iterable[Mapping[str, Any]]) -> list[Matcher]:
    """Reads matchers as Alertmanager's API has them. Before 0.22 there was no `isEqual`: it means true."""
    return [Matcher(str(each["name"]), operator_of(each), str(each["value"])) for each in found]


def operator_of(found: Mapping[str, Any]) -> str:
    is_equal = found.get("isEqual", True)
    if found["isRegex"]:
        return "=~" if is_equal else "!~"
    return "=" if is_equal else "!="


def as_text(matchers: Iterable[Matcher]) -> str:
    """Returns the matchers as an operator types them, one a line."""
    return "\n".join(map(str, matchers))


def read(text: str) -> list[Matcher]:
    """Returns the matchers in `text`, one a line: `name="value"`, with =, !=, =~ or !~.

    Raises BadMatchers with what is wrong and what to do.
    """
    lines = [line.strip().rstrip(",").rstrip() for line in text.splitlines() if line.strip()]
    matchers = [read_line(line) for line in lines]
    check(matchers)
    return matchers


def read_line(line: str) -> Matcher:
    found = LINE.fullmatch(line)
    if found is None:
        raise BadMatchers(f'{line[:80]!r} is no matcher: write name="value", with =, !=, =~ or !~.')
    return Matcher(unquoted(found["name"].strip()), found["operator"], unquoted(found["value"].strip()))


def check(matchers: list[Matcher]) -> None:
    """Refuses what Alertmanager would refuse or what the history cannot evaluate. Raises BadMatchers."""
    if not matchers:
        raise BadMatchers('Write at least one matcher, for example alertname="HighErrorRate".')
    if len(matchers) > MOST_MATCHERS:
        raise BadMatchers(f"Use at most {MOST_MATCHERS} matchers.")
    for matcher in matchers:
        check_one(matcher)
    if all(matches_empty(matcher) for matcher in matchers):
        raise BadMatchers(
            "Every matcher matches an empty label, so this would silence all alerts: add one with a value."
        )


def check_one(matcher: Matcher) -> None:
    if not matcher.name:
        raise BadMatchers("A matcher begins with the name of a label.")
    if "\0" in matcher.name + matcher.value:
        raise BadMatchers("A matcher has no NUL.")
    if max(len(matcher.name), len(matcher.value)) > LONGEST_VALUE:
        raise BadMatchers(f"{matcher.name[:40]}: use at most {LONGEST_VALUE} characters.")
    if matcher.is_regex:
        check_regex(matcher)


def check_regex(matcher: Matcher) -> None:
    position, repeats = 0, True  # nothing stands before the first token that could be repeated
    while position < len(matcher.value):
        token = TOKEN.match(matcher.value, position)
        if token is None or (token["repetition"] and (repeats or counts_too_far(token["repetition"]))):
            raise BadMatchers(
                f"{matcher.name}: {matcher.value[position : position + 20]!r} cannot be used in a regular "
                "expression here: use letters, ., *, +, ?, |, groups, [a-z], {2,5}, and \\ before a sign. "
                "For anything else use amtool."
            )
        repeats = bool(token["repetition"]) or token[0] in ("(", "(?:", "|", "^", "$")
        position = token.end()


def counts_too_far(repetition: str) -> bool:
    return any(int(number) > MOST_REPETITIONS for number in re.findall(r"\d+", repetition))


def anchored(pattern: str) -> str:
    """Returns the pattern for PostgreSQL as Alertmanager evaluates it: a point matches no line feed."""
    return f"(?p)^(?:{pattern})$"


def matches_empty(matcher: Matcher) -> bool:
    """Returns whether an alert without the label is matched. Raises BadMatchers for a bad expression."""
    if not matcher.is_regex:
        return (matcher.value == "") == matcher.is_equal
    try:
        with limited_statement(), connection.cursor() as cursor:
            cursor.execute("SELECT '' ~ %s", [anchored(matcher.value)])
            row = cursor.fetchone()
    except DataError as problem:
        raise BadMatchers(f"{matcher.name}: {matcher.value[:80]!r} is no regular expression.") from problem
    return bool(row and row[0]) == matcher.is_equal
