"""If-Match: missing, wrong and right."""

from __future__ import annotations

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from core.api.versions import NO_VERSION, etag, wanted_version
from core.errors import VersionMissing


def request(value: str | None) -> HttpRequest:
    return RequestFactory().post("/", headers={} if value is None else {"If-Match": value})


@pytest.mark.parametrize("version", [0, 3, 999_999_999])
def test_an_etag_names_its_version(version: int) -> None:
    assert wanted_version(request(f" {etag(version)} ")) == version


@pytest.mark.parametrize(
    "value", ["3", 'W/"3"', '"3', "'3'", '"\u0663"', '"2", "3"', '"-1"', '"x"', "?", '"1234567890"']
)
def test_anything_else_names_none(value: str) -> None:
    assert wanted_version(request(value)) == NO_VERSION


@pytest.mark.parametrize("value", [None, "", "  ", "*"])
def test_a_change_needs_a_version(value: str | None) -> None:
    with pytest.raises(VersionMissing):
        wanted_version(request(value))
