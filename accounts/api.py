"""Serves /api/v1/me: show, change, export and erase the signed-in user's own account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from accounts import known_devices
from accounts.addresses import has_verified
from accounts.erasure import erase_account
from accounts.errors import ReauthenticationRequired
from accounts.export import export_account
from accounts.models import User
from accounts.profile import update_profile

router = Router()


class Account(Schema):
    model_config = ConfigDict(extra="forbid")

    id: int = Field(examples=[4711])
    email: str = Field(examples=["ada@example.com"])
    email_verified: bool
    full_name: str = Field(examples=["Ada Obi"])
    phone_number: str = Field(description="E.164, or empty.", examples=["+2348031234567"])
    country: str = Field(description="ISO 3166-1 alpha-2, or empty.", examples=["NG"])
    mfa_enabled: bool = Field(description="Whether sign-in requires a second factor.")
    date_joined: datetime


class ProfileChange(Schema):
    """Fields that are not sent stay unchanged."""

    model_config = ConfigDict(extra="forbid")

    full_name: str = Field(default_factory=str, min_length=1, max_length=400, examples=["Ada Obi"])
    phone_number: str = Field(
        default_factory=str,
        max_length=40,
        description='With + and country code, or a national number of your country. "" removes it.',
        examples=["08031234567"],
    )
    country: str = Field(
        default_factory=str, max_length=2, description='ISO 3166-1 alpha-2. "" removes it.', examples=["NG"]
    )


class Export(Schema):
    model_config = ConfigDict(extra="forbid")

    exported_at: datetime
    account: dict[str, Any]
    email_addresses: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    authenticators: list[dict[str, Any]]
    parts: dict[str, Any] = Field(description="Data of the other parts of Amani by name: `kyc`, `mails`.")


def person_of(request: HttpRequest) -> User:
    """Returns the user whom the API authenticated."""
    return cast("User", request.auth)  # type: ignore[attr-defined]  # ninja puts it there


def account_data(person: User) -> dict[str, Any]:
    """Returns the fields of the schema `Account`."""
    fields = ("id", "email", "full_name", "phone_number", "country", "date_joined")
    return {
        **{name: getattr(person, name) for name in fields},
        "email_verified": has_verified(user=person, email=person.email),
        "mfa_enabled": is_mfa_enabled(person),
    }


@router.get("", response=Account, operation_id="show_account", summary="Your account")
def show_account(request: HttpRequest) -> dict[str, Any]:
    return account_data(person_of(request))


@router.patch("", response=Account, operation_id="change_account", summary="Change your account")
def change_account(request: HttpRequest, change: ProfileChange) -> dict[str, Any]:
    """Changes the fields that are sent. To change the e-mail address, use `/_allauth/`."""
    changes = change.model_dump(exclude_unset=True)
    return account_data(update_profile(user_id=person_of(request).pk, changes=changes))


@router.get("/export", response=Export, operation_id="export_account", summary="Everything known about you")
def export(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    response.headers["Content-Disposition"] = 'attachment; filename="amani-export.json"'
    return export_account(person_of(request))


@router.delete("", response={204: None}, operation_id="erase_account", summary="Erase your account")
def erase(request: HttpRequest) -> Status[None]:
    """Deletes your personal data permanently and ends all your sessions.

    Reauthenticate shortly before (`auth/reauthenticate` below `/_allauth/`). Answers 409 while an open
    matter, such as a case in review, still needs the account.
    """
    if not did_recently_reauthenticate(request):
        raise ReauthenticationRequired
    erase_account(user_id=person_of(request).pk)
    request.session.flush()
    known_devices.forget(request)
    return Status(204, None)
