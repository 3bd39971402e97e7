"""Tests key rotation while Amani runs; afterwards the old key is not needed."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from core import encryption
from core.errors import CannotDecrypt
from kyc import checks, documents
from kyc.cases import selectors
from kyc.cases.transitions import write_about
from kyc.documents import rotation, storage
from kyc.documents.errors import StorageUnavailable
from kyc.documents.rotation import rotate_keys
from kyc.documents.tests.test_files import files_in
from kyc.models import Case, Document, Side
from kyc.tests.people import submitted

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def commits(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Tests run in a transaction that never commits; files go at once instead."""
    monkeypatch.setattr(transaction, "on_commit", lambda work, robust=False: work())
    settings.ENCRYPTION_KEYS = [OLD]


def rotate() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("rotate_encryption_keys", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_reports_to_programs_too(db: None) -> None:
    out = StringIO()
    call_command("rotate_encryption_keys", "--json", stdout=out, stderr=StringIO())
    assert set(json.loads(out.getvalue())) == {
        "factors",
        "numbers",
        "texts",
        "files",
        "mails",
        "others",
        "failed",
        "swept",
    }


# --- The functions ---


def test_what_is_encrypted_is_readable_with_any_of_the_keys_and_unreadable_without(settings: Any) -> None:
    token = encryption.encrypt(b"A12345678")
    assert b"A12345678" not in token
    assert encryption.encrypt(b"A12345678") != token

    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert encryption.decrypt(token) == b"A12345678"
    assert not encryption.is_current(token)
    assert encryption.is_current(encryption.rotate(token))

    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CannotDecrypt) as caught:
        encryption.decrypt(token)
    assert NEW not in str(caught.value)


def test_a_changed_token_is_refused() -> None:
    token = bytearray(encryption.encrypt(b"A12345678"))
    token[30] ^= 1

    with pytest.raises(CannotDecrypt):
        encryption.decrypt(bytes(token))


def test_a_malformed_key_is_said_at_start_by_its_place_only(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [NEW, "too-short", NEW]

    found = list(checks.encryption_keys(None))

    assert [message.id for message in found] == ["kyc.E001", "kyc.W001"]
    assert "key 2 is not a Fernet key" in found[0].msg
    assert "too-short" not in found[0].msg
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert list(checks.encryption_keys(None)) == []


def test_a_short_search_key_is_said_at_deployment(settings: Any) -> None:
    settings.KYC_SEARCH_KEY = "short"
    assert [message.id for message in checks.search_key(None)] == ["kyc.E002"]
    settings.KYC_SEARCH_KEY = "x" * 32
    assert list(checks.search_key(None)) == []


# --- The command ---


@pytest.mark.django_db
def test_after_a_rotation_the_old_key_can_go(settings: Any, folder: Path) -> None:
    cases = [submitted(number=f"A1000000{place}") for place in range(3)]
    write_about(cases[0].events.get(), "Blurred.")
    before = {row.pk: documents.read(row) for row in Document.objects.all()}
    names = set(Document.objects.values_list("stored_as", flat=True))
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    out, err = rotate()

    done, only = out.splitlines()
    assert done.startswith(
        "Encrypted again: 0 second factors, 3 numbers, 1 texts, 6 files, 0 mails, 0 others. "
    )
    assert done.endswith("Deleted: 0 files without a row.")
    assert only == "Only the first key is needed now."
    assert err == ""
    settings.ENCRYPTION_KEYS = [NEW]
    assert {row.pk: documents.read(row) for row in Document.objects.all()} == before
    assert cases[0].events.get().reason == "Blurred."
    numbers = [selectors.number_of(Case.objects.get(pk=case.pk)) for case in cases]
    assert numbers == ["A10000000", "A10000001", "A10000002"]
    assert names.isdisjoint(Document.objects.values_list("stored_as", flat=True))
    assert len(files_in(folder)) == 6


@pytest.mark.django_db
def test_a_second_rotation_has_nothing_to_do(settings: Any) -> None:
    submitted()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    rotate()
    names = set(Document.objects.values_list("stored_as", flat=True))

    assert rotate_keys(report=pytest.fail) == rotation.Rotated()
    assert set(Document.objects.values_list("stored_as", flat=True)) == names


@pytest.mark.django_db
def test_an_interrupted_rotation_goes_on_where_it_stopped(
    settings: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for _ in range(2):
        submitted()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    put = storage.put
    written: list[str] = []

    def breaks_at_the_third(name: str, content: bytes) -> None:
        if len(written) == 2:
            raise StorageUnavailable
        written.append(name)
        put(name, content)

    monkeypatch.setattr(storage, "put", breaks_at_the_third)
    with pytest.raises(CommandError, match="Run this command again to continue"):
        rotate()
    monkeypatch.setattr(storage, "put", put)

    out, _err = rotate()
    assert "0 numbers, 0 texts, 2 files" in out
    assert len(files_in(folder)) == 4


@pytest.mark.django_db
def test_what_no_key_opens_is_named_and_the_rest_is_done(settings: Any, folder: Path) -> None:
    lost, fine = submitted(), submitted()
    row = lost.documents.get(side=Side.FRONT)
    (folder / row.stored_as).write_bytes(b"damaged")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    err = StringIO()

    with pytest.raises(CommandError, match="1 could not be read"):
        call_command("rotate_encryption_keys", stdout=StringIO(), stderr=err)

    assert f"The file of document {row.pk}:" in err.getvalue()
    settings.ENCRYPTION_KEYS = [NEW]
    assert documents.read(fine.documents.get(side=Side.FRONT))


@pytest.mark.django_db
def test_concurrent_read_during_a_rotation_finds_the_new_file(settings: Any) -> None:
    known = submitted().documents.get(side=Side.FRONT)
    content = documents.read(known)
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    rotate()  # `known` was loaded before and names the old file

    assert documents.read(known) == content


@pytest.mark.django_db
def test_a_number_that_changes_meanwhile_is_not_overwritten(settings: Any) -> None:
    case = submitted(number="A10000000")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    Case.objects.filter(pk=case.pk).update(number_encrypted=encryption.encrypt(b"A20000000"))

    assert rotation.rotate_number(case) is False  # it still has the old number in hand

    assert selectors.number_of(Case.objects.get(pk=case.pk)) == "A20000000"


@pytest.mark.django_db
def test_a_document_that_is_deleted_meanwhile_leaves_no_file(
    settings: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = submitted()
    row = case.documents.get(side=Side.FRONT)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    put = storage.put

    def put_while_it_is_deleted(name: str, content: bytes) -> None:
        documents.delete_files_of(case)
        put(name, content)

    monkeypatch.setattr(storage, "put", put_while_it_is_deleted)

    assert rotation.rotate_file(row) is False
    assert files_in(folder) == []


@pytest.mark.django_db
def test_a_rotation_also_sweeps_what_an_earlier_one_left_behind(settings: Any, folder: Path) -> None:
    storage.put("2020/01/left.aaaaaaaa", b"with the old key")
    long_ago = timezone.now().timestamp() - 7_200
    os.utime(folder / "2020/01/left.aaaaaaaa", (long_ago, long_ago))

    out, _err = rotate()

    assert "Deleted: 1 files without a row." in out
    assert files_in(folder) == []
