"""The pages of silences: form, preview, confirmation, extending and expiring, and the way from an alert."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from observability.models import Silence
from observability.silences import watch
from observability.tests import history
from observability.tests.fake_alertmanager import FakeAlertmanager

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]
NEW = "/admin/observability/silence/new/"
WISH = {"matchers": 'alertname="HighErrorRate"', "lasts": "120", "reason": "A new disk."}


def test_the_form_begins_with_the_labels_of_the_alert(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    episode = history.episode()
    client = sign_in("responder")
    page = client.get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert f"{NEW}?alert={episode.pk}" in page
    assert "#/silences/new" not in page
    form = client.get(f"{NEW}?alert={episode.pk}").context["form"]
    assert form.initial == {
        "matchers": 'alertname="HighErrorRate"\ninstance="web-1"',
        "alert": episode.pk,
    }


def test_a_viewer_sees_silences_but_no_way_to_make_one(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    episode = history.episode()
    client = sign_in("viewer")
    assert NEW not in client.get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert NEW not in client.get("/admin/observability/silence/").content.decode()
    assert client.post(NEW, WISH | {"confirmed": "yes"}).status_code == 403
    assert not Silence.objects.exists()


def test_without_an_alertmanager_the_alert_links_to_the_one_of_operators(
    sign_in: SignIn, settings: Any
) -> None:
    settings.ALERTMANAGER_URL, settings.ALERTMANAGER_PUBLIC_URL = "", "https://alertmanager.example"
    episode = history.episode()
    page = sign_in("responder").get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert "https://alertmanager.example/#/silences/new" in page
    assert NEW not in page


def test_the_preview_says_what_is_hidden_now_and_would_have_been_last_week(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    known = history.episode(1)
    history.episode(2, status="resolved", starts_at=timezone.now() - timedelta(days=6))
    history.episode(3, status="resolved", starts_at=timezone.now() - timedelta(days=8))
    history.episode(4, labels={"alertname": "Other"}, alertname="Other")
    alertmanager.alert(known.labels, fingerprint=known.fingerprint)
    alertmanager.alert({"alertname": "HighErrorRate", "instance": "new"}, "id", fingerprint="ff")
    page = sign_in("responder").post(NEW, WISH)
    found = page.context["preview"]
    assert alertmanager.filters == ['alertname="HighErrorRate"']
    assert found.now.total == 2
    assert [(each.episode, each.is_silenced) for each in found.now.first] == [(known, False), (None, True)]
    assert (found.week.total, found.week.newest[0].pk) == (2, known.pk)
    assert "Now: 2 alerts" in page.content.decode()
    assert "In the last week: 2 alerts" in page.content.decode()
    assert not Silence.objects.exists()


def test_while_alertmanager_is_away_the_preview_says_so_and_shows_what_amani_knows(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    history.episode(1)
    alertmanager.answers = False
    now = sign_in("responder").post(NEW, WISH).context["preview"].now
    assert (now.total, now.first[0].name) == (1, "HighErrorRate")
    assert now.problem == "Alertmanager answered 503: ok These fire as far as Amani knows."


def test_a_confirmed_silence_is_stored_with_its_owner_and_alert(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    episode = history.episode()
    answer = sign_in("responder").post(NEW, WISH | {"alert": str(episode.pk), "confirmed": "yes"})
    row = Silence.objects.get()
    assert answer.headers["Location"] == f"/admin/observability/silence/{row.pk}/change/"
    assert (row.owner.email, row.episode, row.reason) == ("responder@example.com", episode, "A new disk.")  # type: ignore[union-attr]  # it has one
    assert round((row.ends_at - row.starts_at) / timedelta(minutes=1)) == 120


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"reason": ""}, "reason", "required"),
        ({"matchers": "nonsense"}, "matchers", "is no matcher"),
        ({"lasts": "99999999"}, "lasts", "valid choice"),
        ({"starts_at": "2999-01-01T00:00:00", "alert": "-1"}, "alert", "greater"),
    ],
)
def test_a_wrong_field_says_what_is_wrong(
    sign_in: SignIn, alertmanager: FakeAlertmanager, changes: dict[str, str], field: str, why: str
) -> None:
    form = sign_in("responder").post(NEW, WISH | changes | {"confirmed": "yes"}).context["form"]
    assert why in str(form.errors[field])
    assert not Silence.objects.exists()


def test_what_alertmanager_does_not_understand_is_an_error_of_the_form(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    alertmanager.refuses = "bad matcher format"
    form = sign_in("responder").post(NEW, WISH).context["form"]
    assert form.errors["matchers"] == ["Alertmanager answered 400: bad matcher format"]


def test_a_silence_is_extended_and_expired_on_its_page(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    client = sign_in("responder")
    client.post(NEW, WISH | {"confirmed": "yes"})
    row = Silence.objects.get()
    page = f"/admin/observability/silence/{row.pk}/"
    before = row.ends_at
    client.post(f"{page}extend/", {"lasts": "240", "reason": "Longer."})
    row.refresh_from_db()
    assert row.ends_at > before + timedelta(minutes=110)
    client.post(f"{page}expire/", {"reason": ""})
    row.refresh_from_db()
    assert row.state == "wanted", "An empty reason is refused."
    client.post(f"{page}expire/", {"reason": "Done."})
    row.refresh_from_db()
    assert row.state == "ending"
    shown = client.get(f"{page}change/").content.decode()
    assert "Being expired" in shown
    assert f"{page}extend/" not in shown


def test_a_silence_made_elsewhere_shows_how_to_expire_it(
    sign_in: SignIn, alertmanager: FakeAlertmanager
) -> None:
    there = alertmanager.add(createdBy="<b>x</b>")
    watch.look(timezone.now())
    row = Silence.objects.get()
    page = sign_in("responder").get(f"/admin/observability/silence/{row.pk}/change/").content.decode()
    assert f"silence expire {there}" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "/extend/" not in page


def test_the_list_shows_running_silences_first(sign_in: SignIn, alertmanager: FakeAlertmanager) -> None:
    history.whole_history(4, None)
    page = sign_in("viewer").get("/admin/observability/silence/")
    states = [row.state for row in page.context["cl"].result_list]
    assert states == ["active", "active", "expired", "expired"]
