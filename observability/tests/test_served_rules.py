"""Rules that are fetched for a Prometheus elsewhere: who may, what is answered, what the version says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from observability.models import RulesVersion, ServedRules
from observability.rules.publication import serving, watching, work
from observability.rules.render import FILE
from observability.tests.log_events import names_of
from observability.tests.publishing import done, ship, ship_only, store
from observability.tests.rules_stand_in import RulesStandIn
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db

URL = "/api/v1/alerts/rules"
TOKEN = "a-token-of-the-sidecar"


@pytest.fixture(autouse=True)
def served(settings: Any) -> None:
    settings.ALERT_RULES_FOLDER, settings.ALERT_RULES_TOKEN = "", TOKEN
    serving.wrong_tokens.forget()


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return ship_only(tmp_path / "shipped")


@pytest.fixture
def prometheus(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesStandIn]:
    """It has a folder of its own, which Amani does not write."""
    (tmp_path / "there").mkdir()
    stand_in = RulesStandIn(tmp_path / "there")
    settings.PROMETHEUS_URL = stand_in.url
    monkeypatch.setattr(work, "READ_BACK_SECONDS", 0.0)
    monkeypatch.setattr("shutil.which", lambda name: None)
    yield stand_in
    stand_in.close()


def get(client: Client, token: str = TOKEN, **headers: str) -> Any:
    return client.get(URL, headers={"Authorization": f"Bearer {token}", **headers})


def fetch(client: Client, prometheus: RulesStandIn) -> None:
    """What the sidecar does."""
    answer = get(client)
    assert answer.status_code == HTTPStatus.OK
    (prometheus.folder / FILE).write_bytes(answer.content)
    prometheus.load()


def tried(number: int) -> RulesVersion:
    """What became of a version that waits, after the worker's next attempt."""
    RulesVersion.objects.filter(number=number).update(next_attempt_at=timezone.now())
    return done(number)


# --- Who may fetch them, and what is answered ---


def test_the_file_is_served_with_its_etag_and_not_again_to_a_client_that_has_it(
    shipped: Path, prometheus: RulesStandIn, client: Client
) -> None:
    version = store()
    done(1)
    answer = get(client)
    assert answer.content.decode() == version.files[FILE]
    assert answer["Content-Type"] == "application/yaml; charset=utf-8"
    assert answer["Cache-Control"] == "no-cache"
    again = get(client, **{"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")
    ship(shipped, ("0.05", "0.04"))
    store()
    tried(2)
    other = get(client, **{"If-None-Match": answer["ETag"]})
    assert (other.status_code, "> 0.04" in other.content.decode()) == (HTTPStatus.OK, True)
    assert client.post(URL).status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_only_the_right_token_learns_anything(
    shipped: Path, prometheus: RulesStandIn, client: Client, settings: Any
) -> None:
    store()
    done(1)
    for headers in (
        {},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer another-token"},
    ):
        answer = client.get(URL, headers=headers)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (HTTPStatus.UNAUTHORIZED, "Bearer")
        assert answer.json()["message"] == "Send the header Authorization: Bearer <ALERT_RULES_TOKEN>."
    settings.ALERT_RULES_TOKEN = ""
    assert get(client, "").status_code == HTTPStatus.UNAUTHORIZED
    assert ServedRules.objects.get().fetched_at is None


def test_many_wrong_tokens_are_refused_and_the_right_one_is_not(
    shipped: Path, prometheus: RulesStandIn, client: Client
) -> None:
    store()
    done(1)
    statuses = [get(client, "wrong").status_code for _ in range(serving.MOST_WRONG_TOKENS + 1)]
    assert statuses == [401] * serving.MOST_WRONG_TOKENS + [429]
    assert get(client, "wrong")["Retry-After"] == "60"
    assert get(client).status_code == HTTPStatus.OK


def test_before_a_version_was_published_there_is_nothing_to_serve(client: Client) -> None:
    answer = get(client)
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.json() == {
        "code": "no_rules",
        "message": "There are no rules to serve yet: no version was published.",
    }


def test_the_first_file_is_served_before_a_worker_runs(shipped: Path, client: Client) -> None:
    version = store()
    call_command("alert_rules", "seed")
    assert get(client).content.decode() == version.files[FILE]


# --- What the version says ---


def test_a_version_waits_until_it_was_fetched_and_loaded(
    shipped: Path, prometheus: RulesStandIn, client: Client
) -> None:
    store()
    version = done(1)
    assert (version.state, version.next_attempt_at is not None) == ("publishing", True)
    assert "were not fetched yet. Does what fetches them run" in version.last_error
    get(client)
    version = tried(1)
    assert version.state == "publishing"
    assert "; Prometheus does not have them yet." in version.last_error
    fetch(client, prometheus)
    version = tried(1)
    assert (version.state, version.last_error) == ("published", "")
    assert "/-/reload" not in prometheus.asked


def test_a_file_that_was_fetched_and_not_loaded_in_time_is_taken_back(
    shipped: Path, prometheus: RulesStandIn, client: Client
) -> None:
    first = store()
    done(1)
    fetch(client, prometheus)
    assert tried(1).state == "published"
    ship(shipped, ("0.05", "0.04"))
    store()
    done(2)
    get(client)
    ServedRules.objects.update(fetched_at=timezone.now() - timedelta(minutes=3))
    version = tried(2)
    assert version.state == "refused"
    assert version.last_error.startswith("Prometheus has another TooManyErrors in the group one")
    assert version.last_error.endswith("Version 1 is in place again.")
    assert get(client).content.decode() == first.files[FILE]


def test_a_server_that_does_not_format_expressions_is_compared_by_their_text(
    shipped: Path, prometheus: RulesStandIn, client: Client
) -> None:
    unknown = Reply(400, 'unsupported path requested: "/api/v1/format_query"')  # as VictoriaMetrics answers
    prometheus.replies["/api/v1/format_query"] = [unknown] * 100
    store()
    done(1)
    fetch(client, prometheus)
    assert tried(1).state == "published"


def test_a_broken_expression_is_never_served(shipped: Path, prometheus: RulesStandIn, client: Client) -> None:
    first = store()
    done(1)
    fetch(client, prometheus)
    tried(1)
    ship(shipped, ("up == 0", "up == broken"))
    store()
    version = done(2)
    assert (version.state, version.refused_file) == ("refused", FILE)
    assert get(client).content.decode() == first.files[FILE]


def test_rules_that_prometheus_has_lost_are_named_although_the_file_is_served(
    shipped: Path, prometheus: RulesStandIn, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names nothing as restored: what fetches the rules has Prometheus load them."""
    store()
    done(1)
    fetch(client, prometheus)
    tried(1)
    prometheus.groups = []
    watching.watch()
    version = RulesVersion.objects.get()
    assert "Prometheus has loaded none of these rules." in version.differs_because
    fetched_at = ServedRules.objects.get().fetched_at
    fetch(client, prometheus)
    watching.watch()
    version.refresh_from_db()
    assert version.differs_because == ""
    assert ServedRules.objects.get().fetched_at == fetched_at
    assert "published_rules_restored" not in names_of(caplog.records)


def test_a_served_file_that_was_lost_is_served_again_and_the_log_says_so(
    shipped: Path, prometheus: RulesStandIn, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    version = store()
    done(1)
    fetch(client, prometheus)
    tried(1)
    ServedRules.objects.all().delete()
    watching.watch()
    assert get(client).content.decode() == version.files[FILE]
    assert names_of(caplog.records).count("published_rules_restored") == 1
