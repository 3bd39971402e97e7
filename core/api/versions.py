"""Versions of what the API shows: the ETag of an answer, and If-Match of a request that changes it.

How an app uses it, on a row with a column `version` that each change increments:

    @router.post("/cases/{uuid:id}/withdraw", response=CaseShown)
    @changes_a_version
    def withdraw(request, response, id):
        # Raises Stale unless that is the version of the locked row.
        case = cases.withdraw(..., if_version=wanted_version(request))
        response.headers["ETag"] = etag(case.version)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from ninja.operation import Operation
from ninja.utils import contribute_operation_callback

from core.errors import VersionMissing

View = Callable[..., Any]

HEADER = "If-Match"
# One strong entity tag (RFC 9110, 8.8.3): If-Match compares strongly (13.1.1), and this API makes no others.
ENTITY_TAG = re.compile(r'"([0-9]{1,9})"', re.ASCII)
NO_VERSION = -1  # differs from that of every row
PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": True,
    "schema": {"type": "string", "pattern": r'^"[0-9]{1,9}"$', "title": HEADER},
    "description": "The `ETag` of what you read. 412 means that it has changed since then: read it again.",
    "example": '"3"',
}


def etag(version: int) -> str:
    return f'"{version}"'


def changes_a_version(view: View) -> View:
    """Refuses requests without If-Match, and adds the header to the OpenAPI document.

    The view passes `wanted_version` on to the function that locks the row and compares.
    """

    @wraps(view)
    def view_with_version(request: HttpRequest, *args: Any, **values: Any) -> Any:
        wanted_version(request)
        return view(request, *args, **values)

    return with_parameter(view_with_version, view, PARAMETER)


def wanted_version(request: HttpRequest) -> int:
    """Returns the version in If-Match, NO_VERSION for anything that names none. Raises VersionMissing.

    `*`, which stands for any version, counts as missing: who moves money has to say what they have seen.
    """
    wanted = request.headers.get(HEADER, "").strip()
    if not wanted or wanted == "*":
        raise VersionMissing
    found = ENTITY_TAG.fullmatch(wanted)
    return int(found[1]) if found else NO_VERSION


def with_parameter(wrapper: View, view: View, parameter: dict[str, Any]) -> View:
    """Returns the wrapper with the view's signature as types, which Ninja reads, and a documented header.

    Ninja would look the names of types up in the wrapper's module.
    """
    signature = inspect.signature(view, eval_str=True)
    wrapper.__signature__ = signature  # type: ignore[attr-defined]  # what inspect.signature returns

    def document(operation: Operation) -> None:
        extra = operation.openapi_extra or {}
        parameters = [*extra.get("parameters", []), parameter]
        operation.openapi_extra = {**extra, "parameters": parameters}

    contribute_operation_callback(wrapper, document)
    return wrapper
