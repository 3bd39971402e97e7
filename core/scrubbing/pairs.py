"""Hides the values of secret names in free text: `name=value`, `"name": "value"`, `name: value`,
`<name>value</name>`, `("name", "value")`.

`names.is_secret_name` decides about each name, so names in text and keys in data follow one rule. The text is
read once from left to right: names have possessive quantifiers, and values begin only after a name.
"""

import re

from core.scrubbing.names import is_secret_name, takes_whole_line
from core.scrubbing.numbers import HIDDEN

NAME = re.compile(
    r"""
    (?:(?<![\w%-])|(?<=%[0-9A-Fa-f]{2}))
    (?P<name>(?:[A-Za-z]++[ ](?=(?:key|keys|number|num|no|code|codes)\b))?[\w-]++)
    (?:
        (?:["'\])\\]|%22|%27|%5[Dd]){0,4}[ \t]{0,3}
        (?:[=:!]{1,3}>?|%3[AaDd])
        (?:[ \t]|%20|%22|\+){0,3}\(?
      | >(?=[^\s<>=])                          # XML
      | ["'],[ ]?(?=[bu]?["'])                 # a pair, as in a list of headers
    )
    """,
    re.VERBOSE,
)
OPTION = re.compile(r"(?<![\w-])--(?P<name>[\w-]++)[ ](?=[^\s-])")  # --password hunter2
NO_VALUE = re.compile(r"(?:None|null|NULL|[Tt]rue|[Ff]alse)(?![\w-])")
QUOTED = re.compile(
    r"""(?P<open>[bu]?(?P<mark>\\*["']))(?P<value>(?:(?!(?P=mark))(?:\\[^\r\n]|[^\r\n]))*+)"""
)
BRACKET = re.compile(r"[\[\]{}]")
# A comma, semicolon or bracket ends a value only if more text follows it.
BARE = re.compile(r"""(?:\d[\d-]*+[ ](?=\d))*+(?:[^\s&"'<>,;)}\]\\]|[,;)}\]](?![\s,;)}\]"'&<>\\]|\Z))++""")
SCHEME = re.compile(r"(?i:(?:bearer|basic|token)[ ]++)(?P<value>[^\s\"',;\\]++)")
LINE = re.compile(r"(?P<value>[^\r\n]++)")
NAMED_IN_PAIR = re.compile(r"\(\s?[bu]?[\"']\Z")


def hide_pairs(text: str) -> str:
    """Returns `text` without the values of secret names."""
    return hide_values(hide_values(text, NAME), OPTION)


def hide_values(text: str, names: re.Pattern[str]) -> str:
    parts: list[str] = []
    position = 0
    match = names.search(text)
    while match is not None:
        after = match.end()
        if is_named(match):
            start, after = span_of_value(text, after, match["name"])
            if after > start:
                parts += text[position:start], HIDDEN
                position = after
        match = names.search(text, after)
    return "".join(parts) + text[position:] if parts else text


def is_named(match: re.Match[str]) -> bool:
    if not is_secret_name(match["name"]):
        return False
    if "," not in match.string[match.end("name") : match.end()]:
        return True
    # A comma makes a pair only in a tuple: ["user", "password", "mail"] is a list of names.
    before = match.string[max(match.start() - 4, 0) : match.start()]
    return NAMED_IN_PAIR.search(before) is not None


def span_of_value(text: str, start: int, name: str) -> tuple[int, int]:
    """Returns where the value at `start` begins and ends, without its quotes; an empty span if there is
    none."""
    if NO_VALUE.match(text, start):
        return start, start
    quoted = QUOTED.match(text, start)
    if quoted is not None:
        return quoted.span("value")
    if text[start : start + 1] in {"{", "["}:
        return start, end_of_brackets(text, start)
    if takes_whole_line(name):
        line = SCHEME.match(text, start) or LINE.match(text, start)
        return line.span("value") if line is not None else (start, start)
    bare = BARE.match(text, start)
    return (start, bare.end()) if bare is not None else (start, start)


def end_of_brackets(text: str, start: int) -> int:
    depth = 0
    for bracket in BRACKET.finditer(text, start):
        depth += 1 if bracket[0] in "{[" else -1
        if depth == 0:
            return bracket.end()
    return len(text)
