"""Finds the tokens of an expression of PromQL, and refuses what is too long to be parsed.

The parser says nothing about positions. The tokens are where a number might stand; the parser then decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import zip_longest
from typing import NamedTuple

MOST_CHARACTERS = 2_000
MOST_OPERATORS = 200  # brackets and commas included: each may make the tree deeper
QUOTES = "\"'`"
SIGNS = "+-"
WORDS_THAT_JOIN = frozenset({"and", "or", "unless", "atan2"})


class Kind(StrEnum):
    NUMBER = "number"  # or a duration
    WORD = "word"
    TEXT = "text"
    OPERATOR = "operator"


class Token(NamedTuple):
    kind: Kind
    start: int
    end: int
    text: str


class TooComplex(Exception):
    """The expression is longer than what is parsed."""


def require_readable(expression: str) -> None:
    """Raises TooComplex before the parser sees what could end its process."""
    if len(expression) > MOST_CHARACTERS:
        raise TooComplex(f"it has {len(expression):,} characters; at most {MOST_CHARACTERS:,} are read")
    joins = sum(
        token.kind is Kind.OPERATOR or token.text.lower() in WORDS_THAT_JOIN for token in tokens(expression)
    )
    if joins > MOST_OPERATORS:
        raise TooComplex(f"it has {joins} operators, brackets and commas; at most {MOST_OPERATORS} are read")


def tokens(expression: str) -> Iterator[Token]:
    """Yields the tokens, without space and comments."""
    start = 0
    while start < len(expression):
        end = end_of_token(expression, start)
        kind = kind_of(expression[start])
        if kind is not None:
            yield Token(kind, start, end, expression[start:end])
        start = end


def is_same_text(first: str, second: str) -> bool:
    """Returns whether two expressions differ at most in space, comments and the writing of their numbers."""
    if first == second:
        return True
    pairs = zip_longest(tokens(first), tokens(second))  # ends at the first that differs
    return all(one and other and as_read(one) == as_read(other) for one, other in pairs)


def as_read(token: Token) -> str | float:
    if token.kind is Kind.NUMBER:
        try:
            return float(token.text)
        except ValueError:
            return token.text  # a duration
    return token.text


def kind_of(first: str) -> Kind | None:
    """Returns what a token is that begins with this character; None for space and comments."""
    if first.isspace() or first == "#":
        return None
    if first in QUOTES:
        return Kind.TEXT
    if first.isdigit() or first == ".":
        return Kind.NUMBER
    return Kind.WORD if is_of_word(first) else Kind.OPERATOR


def end_of_token(expression: str, start: int) -> int:
    first, end = expression[start], start + 1
    if first == "#":
        line_end = expression.find("\n", start)
        return len(expression) if line_end < 0 else line_end
    if first in QUOTES:
        while end < len(expression) and expression[end] != first:
            end += 2 if expression[end] == "\\" and first != "`" else 1
        return min(end + 1, len(expression))
    if kind_of(first) in {Kind.NUMBER, Kind.WORD}:
        while end < len(expression) and continues(expression, start, end):
            end += 1
        return end
    return end + 1 if expression[start : start + 2] in {"==", "!=", ">=", "<=", "=~", "!~"} else end


def continues(expression: str, start: int, end: int) -> bool:
    """Returns whether the character at `end` belongs to the number or word from `start` on."""
    is_number = kind_of(expression[start]) is Kind.NUMBER
    if is_number and expression[end] in SIGNS:  # 1e-3, but not 0x1e-3
        return expression[end - 1] in "eE" and expression[start : start + 2].lower() != "0x"
    return is_of_word(expression[end]) or (is_number and expression[end] == ".")


def is_of_word(character: str) -> bool:
    return character.isalnum() or character in "_:"
