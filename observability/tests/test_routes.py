"""Routes: who is notified of an alert that arrives, how routes are changed, and what the pages say."""

from collections.abc import Callable
from datetime import time
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.errors import Invalid
from observability import routes
from observability.alerts import confirming, reopening
from observability.alerts.errors import ReasonMissing
from observability.alerts.intake import ingest
from observability.alerts.messages import send_alert
from observability.models import Delivery, Episode, Receipt, Route, RouteChange
from observability.routes.changing import move_up, remove_route, save_route
from observability.routes.deciding import Compiled
from observability.routes.errors import CannotMoveRoute, RoutesChangedMeanwhile
from observability.routes.loading import kept, version
from observability.routes.terms import Condition, Step, Terms
from observability.tests.payloads import alert

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]
Operator = Callable[..., Any]

SLACK_ONLY = Terms("web-1 to Slack", ("slack",), conditions=(Condition("instance", False, ("web-1",)),))
NOBODY = Terms("web-1 is noise", notifies=False, conditions=(Condition("instance", False, ("web-1",)),))


@pytest.fixture
def add(operator: Operator) -> Callable[..., Route]:
    actor = operator("approver")

    def save(terms: Terms, **more: Any) -> Route:
        return save_route(actor=actor, reason="Agreed in the review.", terms=terms, **more)

    save.actor = actor  # type: ignore[attr-defined]  # for the calls beside it
    return save


def planned(kind: str = "trigger") -> list[tuple[str, str]]:
    """(instance, channel) of each delivery."""
    rows = Delivery.objects.filter(kind=kind).order_by("episode__labels__instance", "channel")
    return [
        (row.episode.labels["instance"], row.channel) for row in rows.select_related("episode") if row.episode
    ]


# --- Alerts that arrive ---


def test_a_route_decides_about_its_alerts_and_the_settings_about_the_others(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    route = add(SLACK_ONLY)
    post_alerts(alert(1), alert(2))
    assert planned() == [("web-1", "slack"), ("web-2", "pagerduty"), ("web-2", "slack")]
    stored = dict(Episode.objects.values_list("labels__instance", "route_id"))
    assert stored == {"web-1": route.pk, "web-2": None}


def test_a_changed_route_acts_on_the_next_payload_of_a_process_that_knows_the_old_ones(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    post_alerts(alert(2))
    assert routes.cached().version == 0
    route = add(SLACK_ONLY)
    post_alerts(alert(1))
    assert planned()[:1] == [("web-1", "slack")]
    assert len(planned()) == 3
    assert (Receipt.objects.count(), Episode.objects.count()) == (2, 2)
    remove_route(actor=add.actor, reason="No longer.", route_id=route.pk)  # type: ignore[attr-defined]  # see add
    post_alerts(alert(1, fingerprint="f" * 16))
    assert len(planned()) == 5


@pytest.mark.parametrize("changes", [ingest.MOST_TRIES - 1, ingest.MOST_TRIES])
def test_routes_that_keep_changing_have_alertmanager_send_again(
    changes: int, add: Callable[..., Route], post_alerts: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    route, left, execute = add(SLACK_ONLY), list(range(changes)), ingest.execute
    routes.current()

    def execute_after_a_change(parameters: dict[str, Any]) -> Any:
        if left:
            left.pop()
            add(SLACK_ONLY, route_id=route.pk)
        return execute(parameters)

    monkeypatch.setattr(ingest, "execute", execute_after_a_change)
    response = post_alerts(alert(1))
    assert left == []
    if changes == ingest.MOST_TRIES:
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response["Retry-After"] == "5"
        assert not Receipt.objects.exists()
        assert not Episode.objects.exists()
        response = post_alerts(alert(1))
    assert response.status_code == 200
    assert planned() == [("web-1", "slack")]


def test_a_payload_is_one_statement_while_the_routes_do_not_change(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    add(SLACK_ONLY)
    post_alerts(alert(1))
    with CaptureQueriesContext(connection) as queries:
        post_alerts(*[alert(number) for number in range(50)])
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 1


def test_the_end_reaches_the_channels_that_were_notified_also_when_the_route_has_changed(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    route = add(SLACK_ONLY)
    post_alerts(alert(1))
    add(SLACK_ONLY._replace(channels=("pagerduty",)), route_id=route.pk)
    post_alerts(alert(1, status="resolved"))
    assert planned("resolve") == [("web-1", "slack")]


def test_the_end_of_an_alert_that_a_version_without_routes_stored_goes_where_it_would_go_now(
    post_alerts: Post,
) -> None:
    post_alerts(alert(1))
    Episode.objects.update(channels=None)
    post_alerts(alert(1, status="resolved"))
    assert planned("resolve") == [("web-1", "pagerduty"), ("web-1", "slack")]


def test_a_route_that_notifies_nobody_leaves_the_alert_and_the_pages_say_why(
    add: Callable[..., Route], post_alerts: Post, sign_in: Callable[..., Client]
) -> None:
    add(NOBODY)
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved"))
    episode = Episode.objects.get()
    assert (episode.status, episode.not_notified, episode.channels) == ("resolved", "route_says_none", [])
    assert Delivery.objects.count() == 0
    browser = sign_in("viewer")
    page = browser.get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert "a route says that nobody is notified of such alerts" in page
    assert "web-1 is noise" in page
    assert "its route notifies nobody" in browser.get("/admin/observability/episode/").content.decode()


def test_an_alert_that_alertmanager_notifies_about_takes_no_route(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    add(SLACK_ONLY)
    post_alerts(alert(1, labels=alert(1)["labels"] | {"notified_by": "alertmanager"}))
    episode = Episode.objects.get()
    assert (episode.not_notified, episode.route_id) == ("sender_notifies", None)
    assert Delivery.objects.count() == 0


def test_an_alert_that_is_reopened_is_routed_anew_and_its_unconfirmed_end_goes_there(
    add: Callable[..., Route], post_alerts: Post
) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved"))
    route = add(SLACK_ONLY)
    reopening.reopen(Episode.objects.get().pk, timezone.now(), "It fires again.")
    episode = Episode.objects.get()
    assert (episode.channels, episode.route_id) == (["slack"], route.pk)
    assert list(Delivery.objects.filter(round=1).values_list("channel", flat=True)) == ["slack"]
    confirming.end(episode.pk, timezone.now(), "Confirmed.")
    ends = Delivery.objects.filter(round=1, kind="resolve")
    assert list(ends.values_list("channel", flat=True)) == ["slack"]


def test_a_message_from_code_takes_the_routes_by_its_context_unless_it_names_channels(
    add: Callable[..., Route],
) -> None:
    add(Terms("payments", ("slack",), conditions=(Condition("team", False, ("payments",)),)))
    routed = send_alert("It broke", severity="critical", context={"team": "payments"})
    named = send_alert("It broke", severity="critical", context={"team": "payments"}, channels=["pagerduty"])
    assert (routed.channels, named.channels) == (["slack"], ["pagerduty"])


# --- Changing routes ---

FULL = Terms(
    "payments by day",
    ("slack",),
    severities=("critical", "error"),
    conditions=(Condition("team", False, ("payments", "core")), Condition("env", True, ("test",))),
    weekdays=(5, 1, 2, 3, 4),
    from_time=time(8),
    until_time=time(18),
    time_zone="Africa/Lagos",
    steps=(Step(15, ("pagerduty",)),),
)
FULL_WORDS = """payments by day
Severity: critical, error
team = payments, core
env != test
Hours: Mon to Fri 08:00 to 18:00 Africa/Lagos
Notifies: Slack
Not acknowledged after 15 min: PagerDuty"""


def test_a_change_is_written_down_with_who_why_before_and_after(add: Callable[..., Route]) -> None:
    route = add(FULL)
    add(NOBODY, route_id=route.pk)
    changed, added = RouteChange.objects.all()
    assert (added.before, added.after, added.reason) == ("", FULL_WORDS, "Agreed in the review.")
    assert (changed.before, changed.after.splitlines()[-1]) == (FULL_WORDS, "Notifies: nobody")
    assert (route.matchers.count(), route.steps.count()) == (1, 0)
    assert [found.name for found in routes.current().routes] == ["web-1 is noise"]


def test_changes_of_routes_are_never_changed(add: Callable[..., Route]) -> None:
    add(FULL)
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        RouteChange.objects.update(reason="Another.")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"channels": ()}, "channels"),
        ({"channels": ("pigeon",)}, "channels"),
        ({"notifies": False}, "channels"),
        ({"severities": ("loud",)}, "severities"),
        ({"weekdays": (8,)}, "weekdays"),
        ({"until_time": None}, "until_time"),
        ({"until_time": time(8)}, "until_time"),
        ({"time_zone": "Africa/Atlantis"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"conditions": (Condition("", False, ("a",)),)}, "conditions"),
        ({"conditions": (Condition("a", False, ()),)}, "conditions"),
        ({"conditions": (Condition("a", False, ("b",)),) * 2}, "conditions"),
        ({"steps": (Step(0, ("slack",)),)}, "steps"),
        ({"steps": (Step(5, ()),)}, "steps"),
        ({"steps": (Step(5, ("pigeon",)),)}, "steps"),
        ({"steps": (Step(5, ("slack",)), Step(5, ("pagerduty",)))}, "steps"),
    ],
)
def test_a_wrong_route_is_refused_by_its_field_and_changes_nothing(
    add: Callable[..., Route], changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        add(FULL._replace(**changes))
    assert list(refused.value.fields) == [field]
    assert (Route.objects.count(), version()) == (0, 0)


def test_a_change_without_a_reason_or_of_an_older_version_changes_nothing(add: Callable[..., Route]) -> None:
    route = add(FULL)
    seen = version()
    with pytest.raises(ReasonMissing), transaction.atomic():
        save_route(actor=add.actor, reason=" ", terms=NOBODY, route_id=route.pk)  # type: ignore[attr-defined]  # see add
    add(FULL._replace(name="renamed"), route_id=route.pk, seen=seen)
    with pytest.raises(RoutesChangedMeanwhile, match="Agreed in the review"), transaction.atomic():
        add(NOBODY, route_id=route.pk, seen=seen)
    route.refresh_from_db()
    assert route.name == "renamed"


def test_a_name_is_free_again_after_its_route_was_removed(add: Callable[..., Route]) -> None:
    route = add(FULL)
    with pytest.raises(Invalid, match="taken"), transaction.atomic():
        add(FULL)
    remove_route(actor=add.actor, reason="Done.", route_id=route.pk)  # type: ignore[attr-defined]  # see add
    assert add(FULL).pk != route.pk


def test_a_route_is_moved_before_the_one_above_it(add: Callable[..., Route]) -> None:
    first, second = add(FULL), add(NOBODY)
    move_up(actor=add.actor, route_id=second.pk)  # type: ignore[attr-defined]  # see add
    assert [found.id for found in routes.current().routes] == [second.pk, first.pk]
    with pytest.raises(CannotMoveRoute), transaction.atomic():
        move_up(actor=add.actor, route_id=second.pk)  # type: ignore[attr-defined]  # see add


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"channels": []}, "a_route_has_channels_unless_it_notifies_nobody"),
        ({"notifies": False}, "a_route_has_channels_unless_it_notifies_nobody"),
        ({"severities": ["loud"]}, "a_route_has_known_severities"),
        ({"weekdays": [0]}, "a_route_has_known_weekdays"),
        ({"until_time": None}, "hours_of_a_route_have_a_beginning_and_another_end"),
        ({"until_time": time(8)}, "hours_of_a_route_have_a_beginning_and_another_end"),
    ],
)
def test_the_database_refuses_a_wrong_route(
    add: Callable[..., Route], changes: dict[str, Any], constraint: str
) -> None:
    route = add(FULL)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Route.objects.filter(pk=route.pk).update(**changes)


def test_a_time_zone_that_this_machine_does_not_know_is_utc_and_the_alert_is_not_lost(
    add: Callable[..., Route],
) -> None:
    route = add(FULL)
    Route.objects.filter(pk=route.pk).update(time_zone="Africa/Atlantis")
    kept.routes = routes.Routes(-1, ())
    [found] = routes.current().routes
    assert isinstance(found, Compiled)
    assert str(found.hours.zone) == "UTC"


# --- Pages ---

TYPED = {
    "name": "payments by day",
    "severities": ["critical", "error"],
    "conditions": "team = payments, core\nenv != test",
    "weekdays": ["1", "2", "3", "4", "5"],
    "from_time": "08:00",
    "until_time": "18:00",
    "time_zone": "Africa/Lagos",
    "notifies": "yes",
    "channels": ["slack"],
    "steps": "15: pagerduty",
    "is_on": "on",
    "reason": "Office hours.",
}


def test_an_operator_adds_a_route_after_seeing_it_in_words(sign_in: Callable[..., Client]) -> None:
    browser = sign_in("approver")
    shown = browser.post("/admin/observability/route/set/", TYPED).content.decode()
    assert "Hours: Mon to Fri 08:00 to 18:00 Africa/Lagos" in shown
    assert Route.objects.count() == 0
    saved = browser.post("/admin/observability/route/set/", TYPED | {"confirmed": "yes"})
    route = Route.objects.get()
    assert (saved.status_code, saved["Location"]) == (303, f"/admin/observability/route/{route.pk}/change/")
    page = browser.get(saved["Location"]).content.decode()
    assert "Not acknowledged after 15 min: PagerDuty" in page
    form = browser.get(f"/admin/observability/route/{route.pk}/edit/").content.decode()
    assert "team = payments, core\nenv != test" in form
    assert FULL_WORDS.splitlines()[0] in browser.get("/admin/observability/route/").content.decode()


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ({"conditions": "team payments"}, "Write “team payments” as label = value"),
        ({"steps": "soon: slack"}, "Write “soon: slack” as minutes: channel"),
        ({"until_time": ""}, "Give both times"),
        ({"time_zone": "Mars"}, "Use an IANA name"),
        ({"reason": ""}, "This field is required"),
        ({"channels": []}, "Choose a channel"),
    ],
)
def test_a_form_says_what_is_wrong(sign_in: Callable[..., Client], typed: dict[str, Any], text: str) -> None:
    response = sign_in("approver").post(
        "/admin/observability/route/set/", TYPED | typed | {"confirmed": "yes"}
    )
    assert text in response.content.decode()
    assert Route.objects.count() == 0


def test_only_the_role_that_changes_settings_changes_routes(
    add: Callable[..., Route], sign_in: Callable[..., Client]
) -> None:
    route = add(FULL)
    browser = sign_in("responder")
    assert browser.get("/admin/observability/route/").status_code == 200
    assert "Add a route" not in browser.get("/admin/observability/route/").content.decode()
    address = f"/admin/observability/route/{route.pk}"
    posts = [
        "/admin/observability/route/set/",
        f"{address}/edit/",
        f"{address}/move_up/",
        f"{address}/remove/",
    ]
    assert [browser.post(post, TYPED).status_code for post in posts] == [403] * 4
    assert RouteChange.objects.count() == 1


def test_the_tester_says_which_routes_match_which_channels_are_notified_and_why_not_the_others(
    add: Callable[..., Route], sign_in: Callable[..., Client]
) -> None:
    add(FULL)
    add(Terms("all critical", ("pagerduty",), severities=("critical",)))
    browser = sign_in("viewer")
    question = {"severity": "critical", "labels": "team = payments", "at": "2026-11-26T20:00"}
    page = " ".join(browser.get("/admin/observability/route/", question).content.decode().split())
    assert "no: it is outside its hours" in page
    assert "<td><b>PagerDuty</b></td><td><b>is notified</b></td>" in page
    assert "<td><b>Slack</b></td><td>not notified: the route does not name it</td>" in page
    assert "no: “all critical” has decided" in page
    by_day = " ".join(
        browser.get("/admin/observability/route/", question | {"at": "2026-11-26T10:00"})
        .content.decode()
        .split()
    )
    assert "no: it matches, but “payments by day” has decided" in by_day
    assert "<td>then</td><td>Not acknowledged after 15 min: PagerDuty</td>" in by_day


def test_the_tester_takes_an_alert(post_alerts: Post, sign_in: Callable[..., Client]) -> None:
    post_alerts(alert(1, labels=alert(1)["labels"] | {"notified_by": "alertmanager"}))
    browser = sign_in("viewer")
    page = browser.get(f"/admin/observability/route/?alert={Episode.objects.get().pk}").content.decode()
    assert "instance = web-1" in page
    assert "not notified: Alertmanager notifies by itself" in page
    assert browser.get("/admin/observability/route/?alert=1234567").status_code == 404


def test_the_list_takes_as_many_queries_for_many_routes_as_for_one(
    add: Callable[..., Route], sign_in: Callable[..., Client]
) -> None:
    browser, counts = sign_in("viewer"), []
    for number in range(6):
        add(FULL._replace(name=f"route {number}"))
        with CaptureQueriesContext(connection) as queries:
            browser.get("/admin/observability/route/", {"severity": "critical"})
        counts.append(len(queries))
    assert counts[1] == counts[5]
