"""Tests that secrets of second factors are stored encrypted, and that their key can change."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from cryptography.fernet import Fernet

from accounts.models import User
from accounts.second_factor import rotate_secret, secrets_of_factors
from core import encryption
from core.errors import CannotDecrypt

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def person(settings: Any) -> User:
    settings.ENCRYPTION_KEYS = [OLD]
    return User.objects.create_user("ada@example.com")


def test_a_secret_is_not_in_the_database_in_clear(person: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(person, secret)
    codes = RecoveryCodes.activate(person)
    rows = Authenticator.objects.filter(user=person)
    stored = " ".join(str(row.data) for row in rows)
    seed = encryption.decrypt(rows.get(type="recovery_codes").data["seed"].encode()).decode()
    assert (secret in stored, seed in stored) == (False, False)
    assert len(codes.get_unused_codes()) == 10


def test_factors_work_after_their_key_was_changed(person: User, settings: Any) -> None:
    TOTP.activate(person, generate_totp_secret())
    codes = RecoveryCodes.activate(person).get_unused_codes()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert [rotate_secret(row) for row in secrets_of_factors()] == [True, True]
    settings.ENCRYPTION_KEYS = [NEW]
    assert [rotate_secret(row) for row in secrets_of_factors()] == [False, False]
    assert RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).validate_code(codes[0])


def test_a_code_used_while_keys_rotate_stays_used(person: User, settings: Any) -> None:
    [code, *_] = RecoveryCodes.activate(person).get_unused_codes()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    [read_before] = secrets_of_factors()
    assert RecoveryCodes(Authenticator.objects.get()).validate_code(code)
    assert rotate_secret(read_before) is False
    assert not RecoveryCodes(Authenticator.objects.get()).validate_code(code)
    assert rotate_secret(Authenticator.objects.get()) is True


def test_a_row_with_the_same_secret_is_rotated_by_itself(person: User, settings: Any) -> None:
    TOTP.activate(person, generate_totp_secret())
    row = Authenticator.objects.get()
    other = Authenticator.objects.create(
        user=User.objects.create_user("bob@example.com"), type=row.type, data=row.data
    )
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert rotate_secret(row) is True
    other.refresh_from_db()
    assert other.data == row.data


def test_a_missing_key_is_said_and_changes_nothing(person: User, settings: Any) -> None:
    TOTP.activate(person, generate_totp_secret())
    before = Authenticator.objects.get().data
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CannotDecrypt, match="ENCRYPTION_KEYS"):
        rotate_secret(Authenticator.objects.get())
    assert Authenticator.objects.get().data == before
