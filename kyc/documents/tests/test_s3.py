"""Tests documents in a bucket: encrypted, private, and deleted after a failure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kyc import documents
from kyc.documents import storage
from kyc.documents.errors import FileDamaged, StorageUnavailable
from kyc.documents.sweep import sweep_orphans
from kyc.documents.tests.s3 import Store
from kyc.documents.tests.test_files import Refusal, a_case, attach_in_vain, attached, some_images
from kyc.models import Document, Side

pytestmark = pytest.mark.django_db


def test_a_bucket_holds_ciphertext_without_anybody_else_s_rights(bucket: Store) -> None:
    (row,) = attached(a_case())

    assert set(bucket.objects) == {row.stored_as}
    assert b"JFIF\0" not in bucket.objects[row.stored_as]
    put = next(asked for asked in bucket.asked if asked.method == "PUT")
    assert "public" not in put.headers.get("x-amz-acl", "")
    assert put.headers["Authorization"].startswith("AWS4-HMAC-SHA256")
    assert documents.read(row) == some_images()[Side.FRONT].content


def test_an_exception_deletes_the_objects_again(bucket: Store) -> None:
    case = a_case()
    counted: list[int] = []
    with pytest.raises(Refusal):
        attach_in_vain(case, lambda: counted.append(len(bucket.objects)))

    assert counted == [3]
    assert bucket.objects == {}
    assert not Document.objects.exists()


def test_an_object_that_was_stored_although_the_store_said_no_is_deleted(bucket: Store) -> None:
    bucket.breaks_after_put = True

    with pytest.raises(StorageUnavailable), documents.stored(some_images()):
        pytest.fail("there is nothing to attach")

    assert bucket.objects == {}


def test_a_store_that_does_not_answer_is_unavailable_and_says_nothing_of_itself(bucket: Store) -> None:
    bucket.close()

    with pytest.raises(StorageUnavailable) as caught, documents.stored(some_images()):
        pytest.fail("there is nothing to attach")

    assert "127.0.0.1" not in str(caught.value)
    assert not Document.objects.exists()


def test_a_missing_object_is_said_to_be_damaged(bucket: Store) -> None:
    (row,) = attached(a_case())
    bucket.objects.clear()

    with pytest.raises(FileDamaged):
        documents.read(row)


def test_objects_without_a_row_are_swept_when_they_are_old_enough(bucket: Store) -> None:
    (row,) = attached(a_case())
    orphan = storage.new_name()
    storage.put(orphan, b"left behind")

    assert sweep_orphans() == 0
    bucket.stored_at -= timedelta(hours=2)
    assert sweep_orphans(everything=True) == 1

    assert set(bucket.objects) == {row.stored_as}
