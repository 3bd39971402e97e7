"""Defines episodes, each from an alert's start to its end, and their timeline."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Severity(models.TextChoices):
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Ending(models.TextChoices):
    """How an alert ended, as Prometheus said when its resolve was about to be sent."""

    RECOVERED = "recovered", "the condition no longer holds"
    OTHER_CONDITION = "other_condition", "another condition of the rule no longer holds"
    STILL_HOLDS = "still_holds", "the condition still holds"
    VANISHED = "vanished", "the series is no longer there"
    NOT_MEASURED = "not_measured", "the value is not a number"
    RULE_GONE = "rule_gone", "the rule is no longer loaded"
    RULE_CHANGED = "rule_changed", "the rule was changed"
    RULE_BROKEN = "rule_broken", "the rule cannot be evaluated"
    NO_ANSWER = "no_answer", "Prometheus did not answer"
    NO_RULE = "no_rule", "Prometheus has no rule of this name"
    NO_THRESHOLD = "no_threshold", "the rule has no threshold"


# With these, Prometheus cannot say that the alert's condition is over: no message may say that all is well.
NOT_RECOVERED = frozenset(
    {
        Ending.STILL_HOLDS,
        Ending.VANISHED,
        Ending.NOT_MEASURED,
        Ending.RULE_GONE,
        Ending.RULE_CHANGED,
        Ending.RULE_BROKEN,
    }
)


class Episode(models.Model):
    """One uninterrupted time in which one alert fired. An alert is identified by its labels (`fingerprint`).

    Its start is what senders report: it differs between replicas and changes when they are restarted. So
    another start of a firing alert continues its episode. An alert that fires again after its resolve gets a
    new episode. Only the newest episode of a fingerprint (`is_latest`) can fire or be changed by a webhook;
    `alerts/intake/ingest.py` has the rules.
    """

    class Status(models.TextChoices):
        FIRING = "firing"
        RESOLVED = "resolved"
        SILENCED = "silenced", "silenced"  # it fires, and a silence has kept Alertmanager from sending it
        NOTICE = "notice", "one-off message"  # sent from code; it is never resolved

    class Source(models.TextChoices):
        ALERTMANAGER = "alertmanager", "Alertmanager"
        CODE = "code", "application code"
        PIPELINE = "pipeline", "Amani, about its own pipeline"

    class Change(models.TextChoices):
        """What the last webhook that changed the row did to it."""

        FIRED = "fired"
        RESOLVED = "resolved"
        UNCONFIRMED = "unconfirmed"
        RESTARTED = "restarted"
        REFIRED = "refired"
        CONFIRMED = "confirmed"
        RETIRED = "retired"  # no longer the newest

    class Mark(models.TextChoices):
        """What an operator says about an alert afterwards: rules are judged by it."""

        USEFUL = "useful", "useful"
        NOISE = "noise", "noise"

    class NotNotified(models.TextChoices):
        SEVERITY_NOT_ROUTED = "severity_not_routed", "ALERT_ROUTES has no channel for its severity"
        SENDER_NOTIFIES = "sender_notifies", "Alertmanager notifies itself"
        NO_CHANNEL = "no_channel", "no channel is configured for it"
        ROUTE_SAYS_NONE = "route_says_none", "its route notifies nobody"
        SILENCED = "silenced", "a silence keeps Alertmanager from sending it"

    fingerprint = models.CharField(max_length=64)
    starts_at = models.DateTimeField(help_text="The earliest start that a sender has reported.")
    latest_start_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The latest start: another that a sender reported, or when it was reopened.",
    )
    previous_end_at = models.DateTimeField(
        null=True, blank=True, help_text="End of the episode before; an earlier start belongs to that one."
    )
    is_latest = models.BooleanField(
        default=True, db_default=True, help_text="The newest episode of its fingerprint."
    )
    status = models.CharField(max_length=8, choices=Status)
    severity = models.CharField(max_length=8, choices=Severity)
    severity_is_unknown = models.BooleanField(
        default=False, db_default=False, help_text="The label has a value that Amani does not know."
    )
    alertname = models.CharField(
        max_length=200,
        db_collation="C",  # so that the search for names that begin with … can use the index
    )
    summary = models.TextField(blank=True)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    generator_url = models.TextField(blank=True)
    source = models.CharField(max_length=12, choices=Source, default=Source.ALERTMANAGER)
    not_notified = models.CharField(
        max_length=20,
        choices=NotNotified,
        blank=True,
        db_default="",
        default="",
        help_text="Why no delivery was planned when it was stored.",
    )
    channels = ArrayField(
        models.CharField(max_length=20),
        null=True,
        blank=True,
        help_text="The channels that were notified when it fired, and those of later escalations; they get "
        "its end. Empty: stored by a version without routes.",
    )
    route_id = models.BigIntegerField(
        null=True, blank=True, help_text="The route that decided; empty: ALERT_ROUTES."
    )
    dedup_key = models.CharField(max_length=255, help_text="PagerDuty's key of this episode.")
    first_seen_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True, help_text="As the sender reported it.")
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When Amani received the resolve.")
    confirmed_at = models.DateTimeField(
        default=timezone.now,
        db_default=Now(),
        help_text="When a sender last reported it as firing, to within a few minutes.",
    )
    unconfirmed_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When Alertmanager reported its end without Prometheus to confirm it.",
    )
    last_change = models.CharField(
        max_length=12, choices=Change, default=Change.FIRED, db_default=Change.FIRED.value, editable=False
    )
    refired_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it was reported as firing after its resolve; Alertmanager is asked.",
    )
    ending = models.CharField(
        max_length=16,
        choices=Ending,
        blank=True,
        default="",
        db_default="",
        help_text="How it ended; empty until its resolve is sent.",
    )
    ending_value = models.FloatField(null=True, blank=True, help_text="The value of its series at its end.")
    ending_condition = models.TextField(
        blank=True, default="", db_default="", help_text="Comparison and threshold: > 0.05"
    )
    reopened_at = models.DateTimeField(
        null=True, blank=True, help_text="When its present round began, if it was opened again."
    )
    silenced_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when Alertmanager silences it, or last did."
    )
    unsilenced_at = models.DateTimeField(
        null=True, blank=True, help_text="Until when; empty while it is silenced."
    )
    round = models.PositiveSmallIntegerField(default=0, help_text="How often it was opened again.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )

    mark = models.CharField(max_length=6, choices=Mark, blank=True, db_default="", default="")

    class Meta:
        verbose_name = "alert"
        default_permissions = ("view",)
        permissions = [
            ("acknowledge_episode", "Can acknowledge an alert"),
            ("note_episode", "Can add a note to an alert"),
            ("mark_episode", "Can mark an alert as useful or as noise"),
        ]
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint", "starts_at"], name="one_episode_per_fingerprint_and_start"
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_at__isnull=False, status="resolved")
                | (models.Q(resolved_at__isnull=True) & ~models.Q(status="resolved")),
                name="episode_is_resolved_exactly_when_it_has_a_time",
            ),
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=models.Q(is_latest=True),
                name="one_latest_episode_per_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=models.Q(status="firing"),
                name="one_firing_episode_per_fingerprint",
            ),
            models.CheckConstraint(
                condition=models.Q(is_latest=True) | ~models.Q(status="firing"),
                name="only_the_latest_episode_fires",
            ),
            models.CheckConstraint(
                condition=models.Q(unconfirmed_at__isnull=True) | models.Q(status="firing"),
                name="only_a_firing_episode_has_an_unconfirmed_end",
            ),
        ]
        indexes = [
            models.Index(fields=["-starts_at", "-id"], name="episode_newest_first"),
            models.Index(
                fields=["severity", "-starts_at"], name="episode_firing", condition=models.Q(status="firing")
            ),
            models.Index(fields=["alertname", "-starts_at"], name="episode_by_alertname"),
            models.Index(
                fields=["-starts_at", "-id"],
                name="episode_severity_unknown",
                condition=models.Q(severity_is_unknown=True),
            ),
            models.Index(
                fields=["fingerprint"],
                name="episode_silenced_now",
                condition=models.Q(silenced_at__isnull=False, unsilenced_at__isnull=True),
            ),
            models.Index(
                fields=["-starts_at", "-id"],
                name="episode_silenced_once",
                condition=models.Q(silenced_at__isnull=False),
            ),
            models.Index(
                fields=["status", "-starts_at", "-id"],
                name="episode_of_few",  # the statuses that few alerts have, for the filter
                condition=models.Q(status__in=["silenced", "notice"]),
            ),
            models.Index(
                fields=["refired_at"], name="episode_in_doubt", condition=models.Q(refired_at__isnull=False)
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="episode_identity_is_fixed",
                fields=["fingerprint", "dedup_key", "alertname", "labels", "source", "first_seen_at"],
            ),
            pgtrigger.Protect(
                name="episode_start_only_moves_back",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(new__starts_at__gt=pgtrigger.F("old__starts_at")),
            ),
        ]

    def __str__(self) -> str:
        return self.alertname

    @property
    def recovered(self) -> bool:
        """Returns whether nothing speaks against its end. Otherwise no message may say that all is well."""
        return self.ending not in NOT_RECOVERED


class EpisodeEvent(models.Model):
    """One event of the timeline. Rows are appended, never changed: the database refuses an UPDATE."""

    class Kind(models.TextChoices):
        FIRED = "fired"
        RESOLVED = "resolved"
        UNCONFIRMED = "unconfirmed", "reported as resolved, unconfirmed"
        CONTINUES = "continues", "still firing"
        RESTARTED = "restarted", "reported with another start"
        SENT = "sent", "sent from code"
        ACKNOWLEDGED = "acknowledged"
        NOTE = "note"
        MARKED = "marked"
        REOPENED = "reopened"
        RESENT = "resent"
        ENDING = "ending", "how it ended"
        SILENCE = "silence", "silence changed"
        SILENCED = "silenced"
        UNSILENCED = "unsilenced", "no longer silenced"
        ESCALATED = "escalated"

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=12, choices=Kind)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    text = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    receipt_id = models.BigIntegerField(
        null=True, blank=True, help_text="The receipt that caused it; it may have been deleted since."
    )

    class Meta:
        verbose_name = "timeline event"
        default_permissions = ("view",)
        ordering = ["id"]
        triggers = [pgtrigger.Protect(name="timeline_is_append_only", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"
