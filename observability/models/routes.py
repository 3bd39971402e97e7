"""Defines routes: which alerts notify which channels, when, and who is next if no operator answers."""

from __future__ import annotations

from datetime import timedelta

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from observability.models.episode import Episode, Severity

MOST_MINUTES = 7 * 24 * 60
WEEKDAYS = {1: "Mon", 2: "Tue", 3: "Wed", 4: "Thu", 5: "Fri", 6: "Sat", 7: "Sun"}


class Route(models.Model):
    """One route. Of the routes whose severities, labels and hours match an alert, the first one decides.

    The settings (ALERT_ROUTES) decide about alerts that no route matches.
    """

    name = models.CharField(max_length=80)
    position = models.PositiveIntegerField(help_text="Routes are tried in this order.")
    is_on = models.BooleanField(default=True)
    severities = ArrayField(
        models.CharField(max_length=8, choices=Severity), default=list, blank=True, help_text="Empty: any."
    )
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(),
        default=list,
        blank=True,
        help_text="1 is Monday; empty: every day.",
    )
    from_time = models.TimeField(null=True, blank=True, help_text="Empty: the whole day.")
    until_time = models.TimeField(
        null=True, blank=True, help_text="Earlier than the beginning: on the next day."
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name, as Africa/Lagos.")
    notifies = models.BooleanField(default=True, help_text="Off: no notification is sent.")
    channels = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True, help_text="Old alerts still name it.")

    class Meta:
        default_permissions = ("view",)
        permissions = [("edit_route", "Can change routes and escalation")]
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(removed_at=None), name="routes_have_their_own_name"
            ),
            models.CheckConstraint(
                condition=models.Q(notifies=True, channels__len__gt=0)
                | models.Q(notifies=False, channels=[]),
                name="a_route_has_channels_unless_it_notifies_nobody",
            ),
            models.CheckConstraint(
                condition=models.Q(severities__contained_by=Severity.values),
                name="a_route_has_known_severities",
            ),
            models.CheckConstraint(
                condition=models.Q(weekdays__contained_by=list(WEEKDAYS)), name="a_route_has_known_weekdays"
            ),
            models.CheckConstraint(
                condition=models.Q(from_time=None, until_time=None)
                | (
                    models.Q(from_time__isnull=False, until_time__isnull=False)
                    & ~models.Q(from_time=models.F("until_time"))
                ),
                name="hours_of_a_route_have_a_beginning_and_another_end",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RouteMatcher(models.Model):
    """A condition on one label of an alert. All conditions of a route have to hold."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="matchers")
    label = models.CharField(max_length=200)
    is_excluded = models.BooleanField(
        default=False, help_text="Whether the label must have none of the values."
    )
    values = ArrayField(models.CharField(max_length=500))

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["route", "label", "is_excluded"], name="a_route_has_one_condition_for_each_label"
            ),
            models.CheckConstraint(
                condition=~models.Q(label="") & models.Q(values__len__gt=0),
                name="a_condition_has_a_label_and_values",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} {'!=' if self.is_excluded else '='} {', '.join(self.values)}"


class RouteStep(models.Model):
    """Who is notified next, when no operator has acknowledged an alert of the route for some minutes."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="steps")
    after_minutes = models.PositiveIntegerField()
    channels = ArrayField(models.CharField(max_length=20))

    class Meta:
        default_permissions = ()
        ordering = ["after_minutes"]
        constraints = [
            models.UniqueConstraint(
                fields=["route", "after_minutes"], name="a_route_has_one_step_for_each_time"
            ),
            models.CheckConstraint(
                condition=models.Q(after_minutes__gte=1, after_minutes__lte=MOST_MINUTES),
                name="a_step_comes_after_a_minute_and_within_a_week",
            ),
            models.CheckConstraint(
                condition=models.Q(channels__len__gt=0), name="a_step_notifies_some_channel"
            ),
        ]

    def __str__(self) -> str:
        return f"after {self.after_minutes} min: {', '.join(self.channels)}"

    @property
    def after(self) -> timedelta:
        return timedelta(minutes=self.after_minutes)


class Escalation(models.Model):
    """A step that was taken for an alert, in one of its rounds; or that is held while it is silenced."""

    class State(models.TextChoices):
        NEW = "new"  # inside the transaction that takes or holds it
        HELD = "held", "Alertmanager suppresses the alert"
        TAKEN = "taken"

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="escalations")
    round = models.PositiveSmallIntegerField()
    after_minutes = models.PositiveIntegerField()
    state = models.CharField(max_length=5, choices=State)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["episode", "round", "after_minutes"], name="a_step_is_taken_once_for_each_round"
            )
        ]

    def __str__(self) -> str:
        return f"after {self.after_minutes} min: {self.state}"


class RouteChange(models.Model):
    """Who changed which route, when and why. The newest id is the version of all routes.

    Processes keep the routes and read them again when there is a newer one.
    """

    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="changes")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    reason = models.TextField()
    before = models.TextField(blank=True, help_text="The route in words; empty: it was new.")
    after = models.TextField(blank=True, help_text="The route in words; empty: it was removed.")

    class Meta:
        verbose_name = "change of a route"
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(reason=""), name="a_change_of_a_route_has_a_reason")
        ]
        triggers = [
            pgtrigger.Protect(
                name="changes_of_routes_are_only_added", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.route} at {self.at:%Y-%m-%d %H:%M:%S}"
