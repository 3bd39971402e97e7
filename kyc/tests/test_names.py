"""Tests that a name that was compared with a document cannot be changed."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from accounts.errors import NameIsFixed
from accounts.models import User
from accounts.profile import update_profile
from kyc.models import State
from kyc.tests.people import case_in, make_approver, make_person, make_reviewer

pytestmark = pytest.mark.django_db

FIXED = (State.SUBMITTED, State.IN_REVIEW, State.APPROVED)


def person_with_case(state: State) -> User:
    person = make_person("ada")
    case_in(state, person=person, reviewer=make_reviewer(), approver=make_approver())
    return person


@pytest.mark.parametrize("state", FIXED)
def test_the_name_stays_while_a_case_waits_or_is_approved(state: State) -> None:
    person = person_with_case(state)
    with pytest.raises(NameIsFixed, match="ask support"):
        update_profile(user_id=person.pk, changes={"full_name": "Somebody Else", "country": "NG"})
    person.refresh_from_db()
    assert (person.full_name, person.country) == ("Ada", "")


@pytest.mark.parametrize("state", [state for state in State if state not in FIXED])
def test_the_name_can_be_corrected_when_nothing_rests_on_it(state: State) -> None:
    person = person_with_case(state)
    assert update_profile(user_id=person.pk, changes={"full_name": "Ada Obi"}).full_name == "Ada Obi"


def test_the_rest_of_the_profile_and_the_same_name_are_taken(client: Client) -> None:
    person = person_with_case(State.APPROVED)
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    client.force_login(person)

    def change(**values: str) -> Any:
        headers = {"X-CSRFToken": "this client does not check it"}
        return client.patch("/api/v1/me", values, content_type="application/json", headers=headers)

    assert change(full_name="Ada", country="NG").status_code == 200
    refused = change(full_name="Somebody Else")
    assert (refused.status_code, refused.json()["code"]) == (409, "name_is_fixed")
    assert list(refused.json()["fields"]) == ["full_name"]
