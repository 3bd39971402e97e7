from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db


def counts() -> dict[str, int]:
    names = ("Episode", "EpisodeEvent", "Delivery", "Attempt", "Receipt")
    return {name: apps.get_model("observability", name).objects.count() for name in names}


def seed(**options: Any) -> str:
    output = StringIO()
    call_command("seed_demo", stdout=output, **options)
    return output.getvalue()


def test_demo_exists_in_development_only(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG is off"):
        seed(password="a password of mine")
    assert not User.objects.exists()
    assert set(counts().values()) == {0}


def test_demo_is_made_once(settings: Any) -> None:
    settings.DEBUG = True
    assert seed(password="a password of mine") == ""
    made = counts()
    assert made["Episode"] == 15
    seed(password="a password of mine")
    assert counts() == made
    assert list(User.objects.order_by("email").values_list("email", flat=True)) == [
        "demo@amani.local",
        "viewer-demo@amani.local",
    ]


def test_demo_alerts_are_never_sent(settings: Any) -> None:
    settings.DEBUG = True
    seed(password="a password of mine")
    delivery = apps.get_model("observability", "Delivery")
    assert not delivery.objects.filter(state__in=delivery.UNFINISHED).exists()
    assert not delivery.objects.filter(finished_at=None).exists()


def test_demo_operators_have_their_roles_and_the_given_password(settings: Any, client: Client) -> None:
    settings.DEBUG = True
    seed(password="a password of mine")
    responder = User.objects.get(email="demo@amani.local")
    viewer = User.objects.get(email="viewer-demo@amani.local")
    assert [responder.is_superuser, viewer.is_superuser] == [False, False]
    assert responder.has_perm("observability.resend_delivery")
    assert not viewer.has_perm("observability.resend_delivery")
    assert client.login(username="demo@amani.local", password="a password of mine")
    seed(password="another password")
    assert client.login(username="viewer-demo@amani.local", password="another password")


def test_demo_password_is_made_and_printed_when_none_is_given(settings: Any, client: Client) -> None:
    settings.DEBUG = True
    email, password = seed(email="me@amani.local").split()
    assert (email, client.login(username=email, password=password)) == ("me@amani.local", True)
    assert seed(email="me@amani.local") == ""
    assert client.login(username=email, password=password)
