"""Tests that files and rows are created and deleted together."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, transaction

from core.encryption import encrypt
from core.errors import CannotDecrypt
from kyc import documents
from kyc.documents import StoredImages, storage
from kyc.documents.errors import DocumentNotFound, FileDamaged, StorageUnavailable
from kyc.documents.files import read
from kyc.files.tests import made
from kyc.models import Case, Document, Side
from kyc.tests.people import make_person, submitted

pytestmark = pytest.mark.django_db


class Refusal(Exception):
    pass


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def some_images(*sides: Side) -> dict[Side, documents.CleanImage]:
    return {side: documents.clean(content=made.jpeg(), side=side) for side in sides or (Side.FRONT,)}


def a_case() -> Case:
    return Case.objects.create(
        person=make_person(), document_type="passport", country="NG", number_encrypted=b"", provider="manual"
    )


def attached(case: Case, *sides: Side) -> list[Document]:
    with documents.stored(some_images(*sides)) as files, transaction.atomic():
        return files.attach(case)


def attach_in_vain(case: Case, look: Callable[[], None]) -> None:
    with documents.stored(some_images(*Side)) as files, transaction.atomic():
        files.attach(case)
        look()
        raise Refusal


def attach_and_lose_the_answer(case: Case) -> None:
    with documents.stored(some_images()) as files:
        with transaction.atomic():
            files.attach(case)
        raise OperationalError("server closed the connection unexpectedly")


def delete_in_vain(case: Case) -> None:
    with transaction.atomic():
        documents.delete_files_of(case)
        raise Refusal


def test_what_was_sent_can_be_read_again_and_is_known_by_its_hash(folder: Path) -> None:
    image = documents.clean(content=made.jpeg(), side=Side.FRONT)

    (row,) = attached(a_case())

    row = Document.objects.get(pk=row.pk)
    assert read(row) == image.content
    assert (row.content_type, row.size) == ("image/jpeg", len(image.content))
    assert row.sha256 == sha256(image.content).hexdigest() == image.sha256


def test_the_folder_holds_ciphertext_that_only_its_owner_may_read(folder: Path) -> None:
    attached(a_case(), Side.FRONT, Side.SELFIE)

    files = files_in(folder)
    assert len(files) == 2
    for file in files:
        content = file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert all(stat.S_IMODE(place.stat().st_mode) == 0o700 for place in file.parents[:3])
        assert not content.startswith(b"\xff\xd8")
        assert b"JFIF\0" not in content
        assert some_images()[Side.FRONT].content[1_000:1_100] not in content


def test_a_file_and_the_way_to_it_are_on_the_disk_before_a_row_names_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    with documents.stored(some_images(Side.FRONT)):  # inside it the rows are written
        (file,) = files_in(folder)
        way = [file, file.parent, file.parent.parent, folder]
        assert synced == [place.stat().st_ino for place in way]


def test_names_tell_nothing_of_the_person(folder: Path) -> None:
    case = a_case()
    (row,) = attached(case)

    year, month, name = row.stored_as.split("/")
    assert (len(year), len(month)) == (4, 2)
    assert name.partition(".")[0].isalnum()
    assert case.person.email.split("@", 1)[0] not in row.stored_as


def test_an_exception_deletes_the_files_again(folder: Path) -> None:
    case = a_case()
    counted: list[int] = []
    with pytest.raises(Refusal):
        attach_in_vain(case, lambda: counted.append(len(files_in(folder))))

    assert counted == [3]
    assert files_in(folder) == []
    assert not Document.objects.exists()


def test_a_file_that_cannot_be_stored_takes_the_others_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images(*Side)
    contents = iter([images[Side.FRONT].content])

    def disk_is_full_at_the_second(content: bytes) -> bytes:
        if next(contents, None) is None:
            raise OSError(28, "No space left on device")
        return encrypt(content)

    monkeypatch.setattr(storage, "encrypt", disk_is_full_at_the_second)
    with pytest.raises(StorageUnavailable, match="is not available"), documents.stored(images):
        pytest.fail("there is nothing to attach")

    assert files_in(folder) == []


def test_files_whose_commit_may_have_happened_stay(folder: Path) -> None:
    """The answer to COMMIT was lost: the rows decide, not the exception."""
    case = a_case()
    with pytest.raises(OperationalError):
        attach_and_lose_the_answer(case)

    assert read(Document.objects.get(case=case))
    assert len(files_in(folder)) == 1


def test_a_new_image_takes_the_old_one_s_place_and_no_other(folder: Path) -> None:
    case = a_case()
    front, back = attached(case, Side.FRONT, Side.BACK)
    (newer,) = attached(case, Side.FRONT)

    for row in (front, back, newer):
        row.refresh_from_db()
    assert (front.replaced_at is None, back.replaced_at, newer.replaced_at) == (False, None, None)
    assert read(front)  # a reviewer may compare; retention deletes it


def test_a_case_s_images_are_gone_for_everybody_at_once_and_their_files_on_commit(
    folder: Path, django_capture_on_commit_callbacks: Any
) -> None:
    case = a_case()
    (row,) = attached(case)

    with django_capture_on_commit_callbacks() as callbacks:
        assert documents.delete_files_of(case) == 1
    row.refresh_from_db()
    assert row.deleted_at is not None
    assert row.file_deleted_at is None
    assert len(files_in(folder)) == 1
    with pytest.raises(DocumentNotFound):
        read(row)

    for callback in callbacks:
        callback()
    assert Document.objects.get(pk=row.pk).file_deleted_at is not None
    assert files_in(folder) == []
    assert documents.delete_files_of(case) == 0


def test_a_deletion_that_is_rolled_back_deletes_nothing(folder: Path) -> None:
    case = a_case()
    (row,) = attached(case)
    with pytest.raises(Refusal):
        delete_in_vain(case)

    row.refresh_from_db()
    assert read(row)


@pytest.mark.parametrize("damage", [b"", b"gAAAA", b"not a token"])
def test_a_file_that_was_changed_is_said_to_be_damaged(folder: Path, damage: bytes) -> None:
    (row,) = attached(a_case())
    (file,) = files_in(folder)
    file.write_bytes(damage)

    with pytest.raises(FileDamaged, match="missing or was changed"):
        read(row)


def test_a_file_that_lies_where_another_belongs_is_said_to_be_damaged(folder: Path) -> None:
    """Encrypted with the right key, but different from the hash in the row."""
    (row,) = attached(a_case())
    (file,) = files_in(folder)
    file.write_bytes(encrypt(b"another picture"))

    with pytest.raises(FileDamaged):
        read(row)


def test_a_missing_file_is_said_to_be_damaged(folder: Path) -> None:
    (row,) = attached(a_case())
    files_in(folder)[0].unlink()

    with pytest.raises(FileDamaged):
        read(row)


def test_without_its_key_a_file_cannot_be_decrypted(folder: Path, settings: Any) -> None:
    (row,) = attached(a_case())
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]

    with pytest.raises(CannotDecrypt, match="ENCRYPTION_KEYS"):
        read(row)


def test_a_folder_that_cannot_be_read_is_unavailable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = attached(a_case())
    file = files_in(folder)[0]
    file.unlink()
    file.mkdir()  # reading it fails, and not for want of a file

    with pytest.raises(StorageUnavailable):
        read(row)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("in_several_processes")
def test_two_submissions_at_once_leave_one_case_and_no_file_too_many(folder: Path) -> None:
    person = make_person()
    start, outcomes = threading.Barrier(2), []

    def submit() -> None:
        from django.db import connection

        start.wait()
        try:
            submitted(person)
            outcomes.append("submitted")
        except Exception as error:  # noqa: BLE001  (the thread's edge; compared below)
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["CaseOpen", "submitted"]
    names = set(Document.objects.values_list("stored_as", flat=True))
    assert {str(path.relative_to(folder)) for path in files_in(folder)} == names


def test_images_that_wait_for_nothing_store_nothing(folder: Path) -> None:
    with documents.stored({}) as files:
        assert isinstance(files, StoredImages)
    assert files_in(folder) == []
