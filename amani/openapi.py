"""Completes the OpenAPI document with introduction, tags and errors, and protects the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from amani import errors
from amani.errors import MEDIA_TYPE, Problem
from amani.parsing import FORMS, UnsupportedBody
from core.api import once, versions
from core.errors import Stale, VersionMissing

DESCRIPTION = """\
The API of buyers and sellers.

**Sign-in.** Sign-up, e-mail verification, sign-in, second factors and sessions are below `/_allauth/`.
An app sends `meta.session_token` of its sign-in as `X-Session-Token`. A browser uses its session cookie; with
requests that change data it sends the cookie `csrftoken` as the header `X-CSRFToken`.

**Errors** have one shape, `Problem`, with the media type `application/problem+json` (RFC 9457).
Let programs use `code`, show `message` to users, and include `request_id` when you ask for help.

**HEAD** is answered like GET, without the body.

**Too many requests** are answered with 429 and `Retry-After`. Requests are counted per minute, for each user
and each IP address; uploads also have a limit of their own.
"""
TAGS = [
    {"name": "account", "description": "The account of the signed-in user."},
    {
        "name": "escrow",
        "description": "Agreements of a buyer and a seller, their milestones, and the way of the money. "
        "Whatever creates something or moves money takes an `Idempotency-Key`; a change names the version "
        "that it is meant for (`If-Match`, the `ETag` of what you read).",
    },
    {"name": "money", "description": "Balances, statements and payouts of the signed-in user."},
    {"name": "kyc", "description": "Identity verification: cases, their documents and their state."},
]
# Statuses that are always possible, or possible with a body, with parameters, and for changes.
ALWAYS = (401, 403, 429, 500, 503)
WITH_BODY = (400, 413, 415, 422)
WITH_PARAMETERS = (404, 422)
WITH_CHANGE = (409,)
WITH_HEADER = {once.PARAMETER["name"]: (400,), versions.PARAMETER["name"]: (412, 428)}
SAFE = ("get",)
TOO_LONG = {"country": ["String should have at most 2 characters"]}
EXAMPLES = {
    400: errors.unreadable(),
    401: errors.not_signed_in(),
    403: errors.answer_to(errors.EmailNotVerified()),
    404: errors.not_found(),
    409: errors.problem(409, "case_open", "You have an open case. Wait for its decision, or withdraw it."),
    412: errors.answer_to(Stale(4)),
    413: errors.too_large(),
    415: errors.answer_to(UnsupportedBody("application/json")),
    422: errors.problem(422, "invalid_input", "Correct the fields named here.", TOO_LONG),
    428: errors.answer_to(VersionMissing()),
    429: errors.answer_to(errors.TooManyRequests(300, 40)),
    500: errors.failure(None),
    503: errors.failure(OperationalError()),
}
# Swagger's page sets styles by script. It loads nothing from other sites and has no inline script.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Document = dict[str, Any]
View = Callable[..., HttpResponseBase]


def complete(document: Document) -> Document:
    """Adds the errors to each operation and `Problem` to the components; changes and returns the document."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    components["responses"] = {f"Problem{status}": described(status) for status in sorted(every_status())}
    for method, operation in operations(document):
        responses = {str(status): answer for status, answer in operation["responses"].items()}
        for status in errors_of(method, operation):
            reference = {"$ref": f"#/components/responses/Problem{status}"}
            responses.setdefault(str(status), reference)
        operation["responses"] = dict(sorted(responses.items()))
        for schema in forms_of(operation):
            schema["properties"] = {name: without_null(one) for name, one in schema["properties"].items()}
    return document


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path in document["paths"].values():
        yield from path.items()


def forms_of(operation: Document) -> list[Document]:
    content = operation.get("requestBody", {}).get("content", {})
    return [content[kind]["schema"] for kind in FORMS if kind in content]


def without_null(schema: Document) -> Document:
    """Returns the schema without the alternative `null`.

    A form cannot send null, and Swagger's page shows a file chooser only if a file is the only alternative.
    """
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name not in {"anyOf", "default"}}, **kinds[0]}


def errors_of(method: str, operation: Document) -> set[int]:
    """Returns the error statuses that the operation can answer with."""
    expected = set(ALWAYS)
    expected |= set(WITH_BODY if "requestBody" in operation else ())
    expected |= set(WITH_PARAMETERS if operation.get("parameters") else ())
    expected |= {
        status for one in operation.get("parameters", []) for status in WITH_HEADER.get(one["name"], ())
    }
    return expected | set(() if method in SAFE else WITH_CHANGE)


def every_status() -> set[int]:
    return set(EXAMPLES)


def described(status: int) -> Document:
    schema = {"$ref": "#/components/schemas/Problem"}
    example = json.loads(EXAMPLES[status].content) | {"request_id": "4f0f6f0c8f2e4d1b9a7c5e3d2b1a0f9e"}
    answer: Document = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in {429, 503}:
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status == 412:
        answer["headers"] = {"ETag": {"description": "The newest version.", "schema": {"type": "string"}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer


def with_policy(view: View) -> View:
    """Returns the view with a Content-Security-Policy that forbids loading from other sites."""

    @wraps(view)
    def view_with_policy(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        response = view(request, *args, **values)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    return view_with_policy
