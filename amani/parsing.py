"""Parses bodies of API requests; refuses other media types and text that the database cannot store."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from core.errors import Invalid, WrongType

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class UnsupportedBody(WrongType):
    code = "unsupported_media_type"

    def __init__(self, *wanted: str) -> None:
        super().__init__(f"Send the body as {' or '.join(wanted)}, and set Content-Type accordingly.")


class UnstorableText(Invalid):
    code = "invalid_input"

    def __init__(self, field: str) -> None:
        message = "Contains NUL or half of a surrogate pair."
        super().__init__("Correct the fields named here.", fields={field: [message]})


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """Returns the JSON value. Raises UnsupportedBody, UnstorableText, or ValueError (RFC 8259)."""
        if request.content_type != "application/json":
            raise UnsupportedBody("application/json")
        value = json.loads(request.body.decode("utf-8"), parse_constant=refuse_constant)
        refuse_unstorable(value)
        return value

    def parse_querydict(
        self,
        data: MultiValueDict[str, Any],
        list_fields: list[str],
        request: HttpRequest,
    ) -> dict[str, Any]:
        if data is not request.GET and request.content_type not in FORMS:
            raise UnsupportedBody(*FORMS)
        refuse_unstorable({key: [one for one in data.getlist(key) if isinstance(one, str)] for key in data})
        return super().parse_querydict(data, list_fields, request)


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")


def refuse_unstorable(value: Any, field: str = "body") -> None:
    """Raises UnstorableText for NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 has not."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise UnstorableText(field)
    elif isinstance(value, dict):
        for key, item in value.items():
            refuse_unstorable(key, field)
            refuse_unstorable(item, key if field == "body" else field)
    elif isinstance(value, list):
        for item in value:
            refuse_unstorable(item, field)
