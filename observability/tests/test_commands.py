import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from observability.alerts import episodes, pruning
from observability.alerts.delivery import drain
from observability.alerts.drill import Drill
from observability.alerts.errors import DrillFailed
from observability.models import Attempt, Delivery, Episode, EpisodeEvent, Receipt
from observability.tasks import forget_old_history
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_test_alert_prints_the_outcome_of_each_delivery(slack: Vendor, pagerduty: Vendor) -> None:
    assert run("send_test_alert", "--severity", "warning") == "pagerduty  Delivered\nslack      Delivered\n"
    assert "TEST alert from Amani (test)" in str(slack.bodies())
    assert pagerduty.bodies()[0]["payload"]["severity"] == "warning"


def test_test_alert_goes_to_the_channel_named(slack: Vendor, pagerduty: Vendor) -> None:
    run("send_test_alert", "--channel", "slack")
    assert (len(slack.bodies()), len(pagerduty.bodies())) == (1, 0)


def test_test_alert_to_all_leaves_out_what_is_off_and_says_so(slack: Vendor, settings: Any) -> None:
    settings.PAGERDUTY_API_KEY = ""
    assert run("send_test_alert") == "slack      Delivered\npagerduty  off, not tried\n"
    with pytest.raises(CommandError, match=r"Not delivered: pagerduty\."):
        run("send_test_alert", "--channel", "pagerduty")


def test_test_alert_to_all_where_none_is_on_names_the_settings_and_stores_nothing(settings: Any) -> None:
    settings.PAGERDUTY_API_KEY = settings.SLACK_WEBHOOK_URL = ""
    with pytest.raises(CommandError, match=r"Set PAGERDUTY_API_KEY or SLACK_WEBHOOK_URL\."):
        run("send_test_alert")
    assert not Episode.objects.exists()


def test_test_alert_that_does_not_arrive_exits_with_an_error(slack: Vendor) -> None:
    slack.default = Reply(404, "no_service")
    with pytest.raises(CommandError, match=r"Not delivered: slack\.") as failure:
        run("send_test_alert", "--channel", "slack")
    assert failure.value.returncode == 1


def test_waiting_for_a_worker_that_is_not_there_ends_with_an_error() -> None:
    with pytest.raises(CommandError, match=r"Not delivered: slack\."):
        run("send_test_alert", "--channel", "slack", "--wait", "0.5")


def test_test_alert_reports_to_programs_too(slack: Vendor, pagerduty: Vendor) -> None:
    slack.default = Reply(404, "no_service")
    out = StringIO()
    with pytest.raises(CommandError, match=r"Not delivered: slack\."):
        call_command("send_test_alert", "--json", stdout=out)
    sent = Episode.objects.earliest("pk")  # the other one says that Slack refused
    assert json.loads(out.getvalue()) == {
        "alert": sent.pk,
        "delivered": False,
        "deliveries": [
            {"channel": "pagerduty", "state": "delivered", "reason": ""},
            {"channel": "slack", "state": "failed", "reason": sent.deliveries.get(channel="slack").reason},
        ],
    }


def test_a_drill_without_alertmanager_says_so_to_programs(settings: Any) -> None:
    settings.ALERTMANAGER_URL = "http://127.0.0.1:9"
    out = StringIO()
    with pytest.raises(CommandError, match="did not accept the alert"):
        call_command("fire_drill", "--json", stdout=out)
    output = json.loads(out.getvalue())
    assert (output["passed"], output["hops"]) == (False, [])
    assert "http://127.0.0.1:9/api/v2/alerts did not accept the alert" in output["problem"]


def test_a_drill_without_a_webhook_names_the_missing_hop(pagerduty: Vendor, settings: Any) -> None:
    settings.ALERTMANAGER_URL = pagerduty.url  # takes whatever it is sent
    drill = Drill(severity="info", timeout_seconds=0.3)
    with pytest.raises(DrillFailed, match="No sign of the webhook"):
        drill.run()
    assert [hop.what for hop in drill.hops] == ["Alertmanager accepted the alert"]


def age_everything(days: int) -> None:
    """As if all rows were older; identity columns are fixed, so the trigger is disabled."""
    import pgtrigger

    past = timezone.now() - timedelta(days=days)
    with pgtrigger.ignore():
        Episode.objects.update(first_seen_at=past)
        Episode.objects.filter(status="resolved").update(resolved_at=past)
        Receipt.objects.update(received_at=past)
        Delivery.objects.exclude(finished_at=None).update(finished_at=past)


def test_prune_deletes_old_resolved_alerts_with_all_their_rows(post_alerts: Post) -> None:
    post_alerts(alert(1))
    drain("slack")
    post_alerts(alert(1, status="resolved"))
    drain("slack")
    drain("pagerduty")
    age_everything(181)
    assert run("prune_alert_history", "--older-than", "180d").startswith(
        "Deleted 1 alerts, 0 digests, 2 receipts and 0 silences"
    )
    for model in (Episode, EpisodeEvent, Delivery, Attempt, Receipt):
        assert not model.objects.exists()


def test_prune_deletes_an_alert_whose_page_was_sent_again(post_alerts: Post, django_user_model: Any) -> None:
    ada = django_user_model.objects.create_user("ada@example.com")
    post_alerts(alert(1))
    drain("slack")
    page = Delivery.objects.get(channel="slack")
    for _ in range(2):
        page = episodes.resend(delivery_id=page.pk, actor=ada, reason="It was not seen.")
        drain("slack")
    post_alerts(alert(1, status="resolved"))
    drain("slack")
    drain("pagerduty")
    age_everything(181)
    run("prune_alert_history", "--older-than", "180d")
    assert not Delivery.objects.exists()


def test_prune_keeps_what_fires_what_waits_and_what_is_young(post_alerts: Post) -> None:
    post_alerts(alert(1), alert(2))
    post_alerts(alert(2, status="resolved"))  # its deliveries still wait
    age_everything(181)
    post_alerts(alert(3, status="resolved", severity="info"))
    output = json.loads(run("prune_alert_history", "--older-than", "180d", "--json"))
    assert (output["episodes"], output["digests"], output["receipts"]) == (0, 0, 2)
    assert Episode.objects.count() == 3
    assert Receipt.objects.count() == 1


def test_prune_works_in_batches_and_takes_digests_along(post_alerts: Post) -> None:
    alerts = [alert(number, severity="warning") for number in range(30)]
    post_alerts(*alerts)
    drain("slack")
    post_alerts(*[one | {"status": "resolved"} for one in alerts])
    drain("slack")
    age_everything(10)
    run("prune_alert_history", "--older-than", "9d", "--batch", "7")
    assert not Episode.objects.exists()
    assert not Delivery.objects.exists()


def test_old_history_is_deleted_hour_by_hour(
    post_alerts: Post, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCHES_AT_ONCE", 2)
    monkeypatch.setattr(pruning, "BATCH", 3)
    alerts = [alert(number, severity="info", status="resolved") for number in range(7)]
    for one in alerts:
        post_alerts(one)
    settings.ALERT_HISTORY_DAYS = 30
    forget_old_history()
    assert Episode.objects.count() == 7
    age_everything(31)
    settings.ALERT_HISTORY_DAYS = 0
    forget_old_history()
    assert Episode.objects.count() == 7
    settings.ALERT_HISTORY_DAYS = 30
    forget_old_history()
    assert (Episode.objects.count(), Receipt.objects.count()) == (1, 1)
    forget_old_history()
    assert (Episode.objects.count(), Receipt.objects.count()) == (0, 0)


@pytest.mark.parametrize("text", ["180", "0d", "d", "-1d", "1y", ""])
def test_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is not an age"):
        run("prune_alert_history", f"--older-than={text}")
