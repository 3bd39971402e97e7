"""Tests GET and PATCH /api/v1/me: values are normalised, and only sent fields are written."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.erasure import erase_account
from accounts.errors import AccountClosed, InvalidProfile
from accounts.models import User
from accounts.profile import InvalidValue, clean_country, clean_name, clean_phone_number, update_profile

pytestmark = pytest.mark.django_db
ME = "/api/v1/me"


@pytest.fixture
def person() -> User:
    person = User.objects.create_user("ada@example.com", full_name="Ada Obi", country="NG")
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    return person


@pytest.fixture
def app(person: User) -> Client:
    client = Client(headers={"X-CSRFToken": "this client does not check it"})
    client.force_login(person)
    return client


def change(app: Client, **values: Any) -> Any:
    return app.patch(ME, values, content_type="application/json")


def test_people_see_their_account(app: Client, person: User) -> None:
    answer: Any = app.get(ME).json()
    joined = answer.pop("date_joined")
    assert joined.startswith(f"{person.date_joined:%Y-%m-%dT%H:%M:%S}")
    assert answer == {
        "id": person.pk,
        "email": "ada@example.com",
        "email_verified": True,
        "full_name": "Ada Obi",
        "phone_number": "",
        "country": "NG",
        "mfa_enabled": False,
    }


def test_a_second_factor_is_shown(app: Client, person: User) -> None:
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "x"})
    app.force_login(person)  # whose sessions end with a new factor
    assert app.get(ME).json()["mfa_enabled"] is True


def test_only_what_is_sent_is_changed(app: Client, person: User) -> None:
    assert change(app, full_name="Ada Eze").json()["full_name"] == "Ada Eze"
    person.refresh_from_db()
    assert (person.full_name, person.country, person.phone_number) == ("Ada Eze", "NG", "")
    assert change(app).status_code == 200


def test_two_changes_at_once_do_not_undo_each_other(person: User) -> None:
    """Each locks the row, and writes what it was given."""
    with CaptureQueriesContext(connection) as captured:
        update_profile(user_id=person.pk, changes={"full_name": "Ada Eze"})
    statements = [query["sql"] for query in captured.captured_queries]
    read = statements[1]
    [written] = [statement for statement in statements if statement.startswith("UPDATE")]
    assert read.endswith("FOR UPDATE")
    assert written.split(" WHERE ")[0] == """UPDATE "accounts_user" SET "full_name" = 'Ada Eze'"""


def test_a_number_without_plus_is_one_of_the_country_that_is_sent_with_it(app: Client) -> None:
    assert change(app, phone_number="0803 123 4567").json()["phone_number"] == "+2348031234567"
    answer = change(app, phone_number="024 123 4567", country="gh").json()
    assert (answer["phone_number"], answer["country"]) == ("+233241234567", "GH")
    answer = change(app, phone_number="", country="").json()
    assert (answer["phone_number"], answer["country"]) == ("", "")


def test_one_wrong_field_changes_nothing_and_every_wrong_field_is_named(app: Client, person: User) -> None:
    refused = change(app, full_name="Eve", country="XX", phone_number="12")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_profile")
    assert refused.json()["fields"] == {
        "country": ["Not a country of ISO 3166-1. Use two letters, such as NG."],
        "phone_number": ["Not a valid telephone number of its country."],
    }
    person.refresh_from_db()
    assert (person.full_name, person.country, person.phone_number) == ("Ada Obi", "NG", "")


@pytest.mark.parametrize(
    "field", ["email", "id", "is_staff", "is_superuser", "password", "groups", "erased_at"]
)
def test_nothing_else_of_an_account_can_be_set(field: str, app: Client, person: User) -> None:
    before = User.objects.filter(pk=person.pk).values().get()
    refused = change(app, **{field: "1"})
    assert (refused.status_code, list(refused.json()["fields"])) == (422, [field])
    assert User.objects.filter(pk=person.pk).values().get() == before


def test_another_account_cannot_be_changed(app: Client, person: User) -> None:
    other = User.objects.create_user("eve@example.com", full_name="Eve")
    assert change(app, full_name="Ada Eze").json()["id"] == person.pk
    assert (
        app.patch(f"{ME}/{other.pk}", {"full_name": "X"}, content_type="application/json").status_code == 404
    )
    other.refresh_from_db()
    assert other.full_name == "Eve"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Obi", "Ada Obi"),
        ("  Ada   Obi ", "Ada Obi"),
        ("Ade\u0301ba\u0301yo\u0300", "Adébáyò"),
        ("O'Connor-Ọláwálé Jr.", "O'Connor-Ọláwálé Jr."),
        ("王小明", "王小明"),
        ("م حمد", "م حمد"),
        ("علی\u200cرضا", "علی\u200cرضا"),  # noqa: RUF001  (Persian: Alireza)
        ("श्\u200dयाम र\u0915्\u200cष", "श्\u200dयाम रक्\u200cष"),
        ("ශ්\u200dරී", "ශ්\u200dරී"),  # Sinhala: Sri
        ("ন\u09be র্\u200dয", "না র্\u200dয"),
        ("X", "X"),
        ("n" * 200, "n" * 200),
    ],
)
def test_names_are_kept_in_one_spelling(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Ada\u202eibO",
            "Ada\u200bObi",
            "Ada\u2066Obi",
            "\ufeffAda",
            "Ada\u00adObi",
            "Ada\x1b[31m",
            "Ada\x00",
        ),
        *("Ada\u200cObi", "Ada\u200dObi", "\u200cعلی", "علی\u200c", "علی\u200c رضا", "علی\u200c\u200dرضا"),  # noqa: RUF001
        *("علی\u200cAda", "علی\u200cश", "王\u200d小", "م\u200c\u0661", "Ж\u200cЯ", "\u200d"),
        *("Ada\nObi", "Ada\u2028Obi", "Ada\ue000", "Ada\ud800", "Ada\U000e0041", "Ada\u0378"),
        *("\u3164", "Ada\u2800", "Ada\uffa0", "", "   ", "123", "--", "\U0001f600", "n" * 201),
    ],
)
def test_names_that_deceive_or_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        clean_name(text)


@pytest.mark.parametrize("text", ["XX", "ZZ", "N", "NGA", "1!", "N\u0000", "\u2115G"])
def test_only_countries_of_the_list_are_taken(text: str) -> None:
    with pytest.raises(InvalidValue, match="Not a country"):
        clean_country(text)


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("+234 803 123 4567", "", "+2348031234567"),
        ("08031234567", "NG", "+2348031234567"),
        ("+2348031234567", "GH", "+2348031234567"),
        ("\uff0b234\uff18031234567", "", "+2348031234567"),
        ("00 44 20 7946 0958", "GB", "+442079460958"),
        (" ", "NG", ""),
    ],
)
def test_telephone_numbers_are_kept_as_e164(text: str, country: str, number: str) -> None:
    assert clean_phone_number(text, country) == number


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("08031234567", ""),
        ("hello", "NG"),
        ("+999123456789", ""),
        ("+2348031234567 ext. 5", ""),
        ("1" * 40, "NG"),
        ("+23480312345678901", ""),
    ],
)
def test_invalid_telephone_numbers_are_refused(text: str, country: str) -> None:
    with pytest.raises(InvalidValue):
        clean_phone_number(text, country)


def test_a_refused_change_is_an_error_of_the_profile(person: User) -> None:
    with pytest.raises(InvalidProfile, match=r"Nothing was changed\. Correct country, full_name\."):
        update_profile(user_id=person.pk, changes={"full_name": "", "country": "XX"})


def test_concurrent_change_writes_nothing_to_an_erased_account(person: User) -> None:
    erase_account(user_id=person.pk)
    with pytest.raises(AccountClosed):
        update_profile(user_id=person.pk, changes={"full_name": "Ada Obi", "country": "NG"})
    assert (User.objects.get().full_name, User.objects.get().country) == ("", "")
