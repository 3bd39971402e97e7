"""Tests the OpenAPI document and the page that shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from amani.errors import MEDIA_TYPE, Problem
from amani.frame import UPLOADS
from amani.openapi import without_null

DOCUMENT = "/api/v1/openapi.json"
PAGE = "/api/v1/docs"


@pytest.fixture
def document() -> Any:
    return Client().get(DOCUMENT).json()


@pytest.fixture
def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_routes_that_take_files_are_those_with_the_limit_for_files(operations: dict[str, Any]) -> None:
    taking = {
        name.removeprefix("POST /").replace("{id}", "<uuid:id>")
        for name, one in operations.items()
        if "multipart/form-data" in one.get("requestBody", {}).get("content", {})
    }
    assert taking == UPLOADS


def test_every_operation_has_a_name_of_its_own_words_and_a_tag(
    operations: dict[str, Any], document: Any
) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    assert len({one["operationId"] for one in operations.values()}) == len(operations)
    assert [name for name, one in operations.items() if not set(one["tags"]) <= tags] == []
    assert [name for name, one in operations.items() if one["summary"] == one["summary"].title()] == []


def test_every_operation_documents_its_errors_as_problems(operations: dict[str, Any], document: Any) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    for answer in document["components"]["responses"].values():
        assert answer["content"][MEDIA_TYPE]["schema"] == schema
    for operation in operations.values():
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert errors.keys() >= {"401", "403", "429", "500", "503"}
        assert set(map(str, errors.values())) == {
            str({"$ref": f"#/components/responses/Problem{status}"}) for status in errors
        }


def test_every_error_has_an_example_of_its_own(document: Any) -> None:
    for name, answer in document["components"]["responses"].items():
        example = Problem.model_validate(answer["content"][MEDIA_TYPE]["example"])
        assert name == f"Problem{example.status}"


def test_the_errors_of_an_operation_are_those_it_can_have(operations: dict[str, Any]) -> None:
    read, written = operations["GET /api/v1/me"], operations["PATCH /api/v1/me"]
    assert list(read["responses"]) == ["200", "401", "403", "429", "500", "503"]
    assert list(written["responses"]) == [
        *("200", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"),
    ]


def test_an_image_in_a_form_is_a_file_and_nothing_else(operations: dict[str, Any]) -> None:
    form = operations["POST /api/v1/kyc/cases"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    for side in ("front", "back", "selfie"):
        assert (form["properties"][side]["type"], form["properties"][side]["format"]) == ("string", "binary")


def test_only_null_is_taken_away() -> None:
    either: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
    assert without_null(either) == either
    assert without_null({"type": "string"}) == {"type": "string"}
    maybe = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "A"}
    assert without_null(maybe) == {"title": "A", "type": "string"}


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_of_its_own() -> None:
    page = Client().get(PAGE)
    policy = page["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "http" not in page.content.decode().replace("/static/", "").replace("http-equiv", "")


def test_the_committed_document_is_current(document: Any) -> None:
    """Otherwise `make openapi` writes it anew; its difference is what changes for the API's users."""
    written = (Path(settings.BASE_DIR) / "docs" / "openapi.json").read_text()
    assert json.loads(written) == document
