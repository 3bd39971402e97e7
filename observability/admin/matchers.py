"""Writes labels as matchers: `job="amani"`, and `"service.name"="payments"` for names that are not classic.

Alertmanager accepts quoted names since 0.27, and Prometheus since 3. Classic names are written without
quotes, so that older versions understand them (Alertmanager docs, configuration.md, "UTF-8 matchers").
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from django.conf import settings

from observability.silences.matchers import QUOTED, is_classic, quoted, unquoted

# A name has at least one character; without quotes it ends at the first "=".
EQUALITY = re.compile(rf'(?P<name>{QUOTED}\s*|[^"=]+)=(?P<value>\s*{QUOTED}|[^"]*)', re.DOTALL)


def matcher(name: str, value: str) -> str:
    return f"{name if is_classic(name) else quoted(name)}={quoted(value)}"


def selector(labels: Mapping[str, str]) -> str:
    """Returns the selector of what has all of `labels`: `{a="b",c="d"}`."""
    return "{" + ",".join(matcher(name, value) for name, value in sorted(labels.items())) + "}"


def read_equality(term: str) -> tuple[str, str] | None:
    """Returns name and value of `name=value`, or None for another text.

    Both may be quoted, and have to be when they contain `"`.
    """
    found = EQUALITY.fullmatch(term.strip())
    return (unquoted(found["name"].strip()), unquoted(found["value"].strip())) if found else None


def silence_command(labels: Mapping[str, str]) -> str:
    """Returns the shell command that silences what has all of `labels`."""
    matchers = " ".join(shlex.quote(matcher(name, value)) for name, value in sorted(labels.items()))
    address = shlex.quote(f"--alertmanager.url={settings.ALERTMANAGER_PUBLIC_URL}")
    return f'amtool {address} silence add {matchers} --duration=2h --author="$USER" --comment="why"'
