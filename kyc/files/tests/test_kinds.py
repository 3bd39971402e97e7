"""Tests that the type is detected by content, and that files of two formats are refused."""

from __future__ import annotations

import zipfile
from io import BytesIO
from random import Random

import pytest

from kyc.files import kinds
from kyc.files.kinds import JPEG, PDF, PNG
from kyc.files.refusal import FileProblem, Reason
from kyc.files.tests import made


def archive() -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("run.sh", "#!/bin/sh\nrm -rf ~\n")
    return content.getvalue()


@pytest.mark.parametrize(("content", "kind"), [(made.jpeg(), JPEG), (made.png(), PNG), (made.pdf(), PDF)])
def test_a_file_is_what_its_first_bytes_say(content: bytes, kind: str) -> None:
    assert kinds.kind_of(content) == kind
    kinds.refuse_other_formats(content, kind)


@pytest.mark.parametrize(
    "content",
    [
        b"GIF89a" + bytes(100),
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\x00\x00\x00\x18ftypheic",
        b"II*\x00",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html></html>",
        b"#!/bin/sh\n%PDF-1.4",
        b" " + made.jpeg(),
        b"\n%PDF-1.4",
        b"MZ" + made.png(),
        archive(),
    ],
)
def test_everything_else_is_refused_also_with_something_before_it(content: bytes) -> None:
    with pytest.raises(FileProblem, match="not a JPEG, PNG or PDF") as caught:
        kinds.kind_of(content)
    assert caught.value.reason == Reason.WRONG_TYPE


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(FileProblem, match="empty") as caught:
        kinds.kind_of(b"")
    assert caught.value.reason == Reason.EMPTY


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (made.jpeg() + archive(), JPEG),
        (made.png() + archive(), PNG),
        (made.pdf() + archive(), PDF),
        (made.jpeg(comment=b"<script>alert(1)</script>"), JPEG),
        (made.jpeg(comment=b"<?php system($_GET[0]); ?>"), JPEG),
        (made.with_chunk(made.png(), b"tEXt", b"x\x00<HTML ><body onload=x>"), PNG),
        (made.jpeg(comment=b"<?=`$_GET[0]`?>"), JPEG),
        (made.jpeg(comment=b'<%@ page import="java.io.*" %>'), JPEG),
        (made.jpeg(comment=b"<svg/onload=alert(1)>"), JPEG),
        (made.jpeg(comment=b"%PDF-1.7"), JPEG),
        (made.png() + made.pdf(), PNG),
        (made.pdf() + b"<script>alert(1)</script>", PDF),
        (made.pdf() + b"<!DOCTYPE html>", PDF),
        (b"%PDF-1.4\n%PDF-1.7\n", PDF),
    ],
)
def test_a_file_that_is_valid_in_a_second_format_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(FileProblem, match="also contains a program") as caught:
        kinds.refuse_other_formats(content, kind)
    assert caught.value.reason == Reason.ACTIVE_CONTENT


def test_what_looks_like_a_program_by_chance_does_not_make_a_photograph_one() -> None:
    chance = Random(0).randbytes(8 * 2**20)  # noqa: S311  (packed pixels look like this)
    assert b"<?=" in chance
    assert b"<%@" in chance
    kinds.refuse_other_formats(made.jpeg()[:-2] + chance + b"<svg \x00\xff" + b"\xff\xd9", JPEG)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("image/jpeg", "front.jpg"),
        ("image/jpg", "FRONT.JPEG"),
        ("IMAGE/JPEG; charset=binary", ""),
        ("", "scan"),
        ("application/octet-stream", "front.jpg"),
    ],
)
def test_a_label_that_agrees_or_says_nothing_is_fine(declared: str, name: str) -> None:
    kinds.refuse_wrong_label(JPEG, declared, name)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("image/png", "front.jpg"),
        ("application/pdf", ""),
        ("text/html", "front.jpg"),
        ("image/jpeg", "front.png"),
        ("image/jpeg", "front.jpg.exe"),
    ],
)
def test_a_label_that_says_something_else_is_refused(declared: str, name: str) -> None:
    with pytest.raises(FileProblem, match="This file is a JPEG") as caught:
        kinds.refuse_wrong_label(JPEG, declared, name)
    assert caught.value.reason == Reason.WRONG_TYPE
