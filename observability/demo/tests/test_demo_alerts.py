from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from observability.demo import seed_alerts
from observability.demo.stories import STORIES, STORM
from observability.models import Attempt, Channel, Delivery, Episode, Receipt

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def demo(settings: Any, django_user_model: Any) -> Any:
    settings.DEBUG = True
    operator = django_user_model.objects.create_user("demo@example.com", is_staff=True)
    seed_alerts(operator)
    return operator


def latest(alertname: str) -> Episode:
    return Episode.objects.get(alertname=alertname, is_latest=True)


def states(episode: Episode) -> dict[tuple[str, str], str]:
    return {(each.channel, each.kind): each.state for each in episode.deliveries.all()}


def test_demo_alerts_exist_in_development_only(settings: Any, demo: Any) -> None:
    settings.DEBUG = False
    before = Episode.objects.count()
    with pytest.raises(RuntimeError, match="in development only"):
        seed_alerts(demo)
    assert Episode.objects.count() == before == len(STORIES) + len(STORM) + 1


def test_nothing_of_the_demo_is_ever_sent() -> None:
    assert not Delivery.objects.filter(state__in=Delivery.UNFINISHED).exists()
    assert not Delivery.objects.filter(finished_at=None).exists()
    assert not Channel.objects.exclude(flagged_at=None).exists()


def test_each_story_happened_when_it_says() -> None:
    now = timezone.now()
    for story in STORIES:
        episode = Episode.objects.get(alertname=story.alertname, summary=story.summary)
        minutes = (now - episode.first_seen_at) / timedelta(minutes=1)
        assert abs(minutes - story.began) < 5, story
        assert (episode.resolved_at is not None) == (story.lasted is not None), story
        assert (episode.acknowledged_at is not None) == (story.acknowledged is not None), story
        times = list(episode.events.order_by("id").values_list("at", flat=True))
        assert times == sorted(times), story
        if story.lasted is not None:
            assert times[-1] - times[0] == timedelta(minutes=story.lasted, seconds=1)


def test_no_alert_is_delivered_before_it_began() -> None:
    delivered = Delivery.objects.filter(episode__isnull=False, finished_at__isnull=False)
    assert delivered.count() > len(STORIES)
    assert not delivered.filter(finished_at__lt=F("episode__starts_at")).exists()


def test_the_demo_shows_each_way_in_which_a_notification_ends() -> None:
    assert states(latest("HighErrorRate")) == {
        ("pagerduty", "trigger"): "failed",
        ("slack", "trigger"): "delivered",
    }
    assert states(latest("ApplicationDown"))["slack", "trigger"] == "dead"
    assert states(latest("ApplicationDown"))["slack", "resolve"] == "delivered"
    assert latest("CertificateExpires").not_notified == Episode.NotNotified.SEVERITY_NOT_ROUTED
    assert latest("PayoutQueueStuck").severity_is_unknown
    digest = Delivery.objects.get(kind=Delivery.Kind.DIGEST)
    assert (digest.members.count(), digest.attempts.count()) == (len(STORM), 1)
    assert Receipt.objects.filter(outcome=Receipt.Outcome.FAILED).count() == 1


def test_every_attempt_belongs_to_a_delivery_that_counts_it() -> None:
    for delivery in Delivery.objects.all():
        assert delivery.attempts.count() == delivery.attempt_count
    assert Attempt.objects.filter(outcome=Attempt.Outcome.REJECTED).count() == 1
