"""Builds shell commands that find the log lines of an alert or of one request.

A value from a label is a quoted string of jq or a variable in awk's environment, and the whole program is
quoted for the shell.
"""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime, timedelta

from django.conf import settings

from core.request_id import WELL_FORMED
from observability.admin.cause.links import stamp
from observability.admin.cause.subject import Subject

SLOW_MILLISECONDS = 500
AROUND_A_REQUEST = timedelta(minutes=5)
LITERAL = re.compile(r"[\w./-]*")  # a route up to its first parameter


def phrase_of(subject: Subject) -> str:
    """Returns a text that every relevant log line contains."""
    return subject.endpoint or subject.task or ("error" if subject.about_errors else "amani.access")


def command(subject: Subject) -> str:
    """Returns the command that shows failed or slow requests, or warnings of tasks, of the alert's time."""
    program = "worker" if subject.is_of_worker else "web"
    wanted = in_json(subject) if settings.LOG_FORMAT == "json" else in_text(subject)
    if settings.DEBUG:
        return f"{wanted} .run/log/{program}.log"
    service = "worker" if subject.is_of_worker else "app"
    return f"{compose_logs(subject.start, subject.end, service)} | {wanted}"


def request_command(request_id: str, at: datetime) -> str:
    """Returns the command that shows every line of one request, in any process; "" for a malformed id."""
    if not WELL_FORMED.fullmatch(request_id):
        return ""
    if settings.DEBUG:
        return f"grep -hF -- {request_id} .run/log/*.log"
    logs = compose_logs(at - AROUND_A_REQUEST, at + AROUND_A_REQUEST, "app worker beat")
    return f"{logs} | grep -F -- {request_id}"


def compose_logs(start: datetime, end: datetime, services: str) -> str:
    period = f"--since {stamp(start)}Z --until {stamp(end)}Z"
    return f"docker compose logs --no-log-prefix {period} {services}"


def in_json(subject: Subject) -> str:
    conditions = [f'.timestamp >= "{stamp(subject.start)}"', f'.timestamp <= "{stamp(subject.end)}"']
    if subject.is_of_worker:
        conditions.append('(.level == "error" or .level == "warning")')
    elif subject.about_errors:
        conditions.append(".status >= 500")
    else:
        conditions.append(f".duration_ms >= {SLOW_MILLISECONDS}")
    if subject.endpoint:
        conditions.append(f".endpoint == {json.dumps(subject.endpoint)}")
    if subject.task:
        conditions.append(f"(tostring | contains({json.dumps(subject.task)}))")
    program = f"fromjson? | objects | select({' and '.join(conditions)})"
    return f"jq -cR {shlex.quote(program)}"


def in_text(subject: Subject) -> str:
    """Returns the command for the text format of development: `02:14:05 500 GET /path 12.3 ms id`.

    Its lines have only the time of day.
    """
    if subject.is_of_worker:
        wanted = f"-F -- {shlex.quote(subject.task)}" if subject.task else r"-E '\[(error|warning)'"
        return f"grep {wanted}"
    first, last = f"{subject.start:%H:%M:%S}", f"{subject.end:%H:%M:%S}"
    between = "&&" if first <= last else "||"  # over midnight
    what = "$2 ~ /^5/" if subject.about_errors else f"$5 >= {SLOW_MILLISECONDS}"
    program = f'length($1) == 8 && ($1 >= "{first}" {between} $1 <= "{last}") && {what}'
    if not subject.endpoint:
        return f"awk {shlex.quote(program)}"
    beginning = LITERAL.match(subject.endpoint)
    path = shlex.quote(beginning[0] if beginning else "")
    program += ' && index($4, ENVIRON["ROUTE"]) == 1'
    return f"ROUTE={path} awk {shlex.quote(program)}"
