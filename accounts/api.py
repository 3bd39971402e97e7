"""GET, PATCH and DELETE /api/v1/me, and the export: people and their own account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from accounts.addresses import has_proved
from accounts.erasure import erase_account
from accounts.errors import SignInAgain
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
    mfa_enabled: bool = Field(description="Whether signing in needs a second factor.")
    date_joined: datetime


class ProfileChange(Schema):
    """Only what is sent is changed."""

    model_config = ConfigDict(extra="forbid")

    full_name: str = Field(default_factory=str, min_length=1, max_length=400, examples=["Ada Obi"])
    phone_number: str = Field(
        default_factory=str,
        max_length=40,
        description='With +, or one of your country. "" for none.',
        examples=["08031234567"],
    )
    country: str = Field(
        default_factory=str, max_length=2, description='ISO 3166-1 alpha-2. "" for none.', examples=["NG"]
    )


class Export(Schema):
    model_config = ConfigDict(extra="forbid")

    exported_at: datetime
    account: dict[str, Any]
    email_addresses: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    authenticators: list[dict[str, Any]]
    parts: dict[str, Any] = Field(description="What the rest of Amani keeps, by its name: `kyc`, `mails`.")


def person_of(request: HttpRequest) -> User:
    """Whom the API has let in."""
    return cast("User", request.auth)  # type: ignore[attr-defined]  # ninja puts it there


def shown(person: User) -> dict[str, Any]:
    fields = ("id", "email", "full_name", "phone_number", "country", "date_joined")
    return {
        **{name: getattr(person, name) for name in fields},
        "email_verified": has_proved(user=person, email=person.email),
        "mfa_enabled": is_mfa_enabled(person),
    }


@router.get("", response=Account, operation_id="show_account", summary="Your account")
def show_account(request: HttpRequest) -> dict[str, Any]:
    return shown(person_of(request))


@router.patch("", response=Account, operation_id="change_account", summary="Change your account")
def change_account(request: HttpRequest, change: ProfileChange) -> dict[str, Any]:
    """Changes what is sent and leaves the rest. The e-mail address is changed at `/_allauth/`."""
    changes = change.model_dump(exclude_unset=True)
    return shown(update_profile(user_id=person_of(request).pk, changes=changes))


@router.get("/export", response=Export, operation_id="export_account", summary="Everything known about you")
def export(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    response.headers["Content-Disposition"] = 'attachment; filename="amani-export.json"'
    return export_account(person_of(request))


@router.delete("", response={204: None}, operation_id="erase_account", summary="Erase your account")
def erase(request: HttpRequest) -> Status[None]:
    """Deletes what names you, for good, and signs you out everywhere.

    Confirm who you are just before (`auth/reauthenticate` below `/_allauth/`). Refused with 409 while
    something still needs the account.
    """
    if not did_recently_reauthenticate(request):
        raise SignInAgain
    erase_account(user_id=person_of(request).pk)
    request.session.flush()
    return Status(204, None)
