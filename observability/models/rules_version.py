"""Defines versions of the published alert rules: what Amani writes for Prometheus, who wanted it, what became
of it."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models

from core.leases import LeasedWork

CONTENT = (
    "author",
    "author_text",
    "reason",
    "reverts_to",
    "files",
    "digest",
    "changes",
    "rule_count",
    "created_at",
)


class ServedRules(models.Model):
    """The one rule file that is served to what fetches it for Prometheus; without a row none is."""

    ONLY = 1

    id = models.SmallIntegerField(primary_key=True, default=ONLY)
    text = models.TextField(blank=True, help_text="Empty: there is no file.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the text: its ETag.")
    written_at = models.DateTimeField()
    fetched_at = models.DateTimeField(null=True, blank=True, help_text="When this text was first fetched.")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_rule_file_is_served")]

    def __str__(self) -> str:
        return f"rules of {self.written_at:%Y-%m-%d %H:%M:%S}"


class RulesVersion(LeasedWork):
    """One set of rules as it is, or was, given to Prometheus.

    It is stored before the worker publishes it, and its content never changes. `last_error` says what the
    last attempt met: of a refused version the reason, of one that is being published why it waits.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        PUBLISHING = "publishing", "being published"
        PUBLISHED = "published", "published"
        REFUSED = "refused", "not published"
        SUPERSEDED = "superseded", "replaced"

    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: `author_text` names who made it.",
    )
    author_text = models.CharField(max_length=100, blank=True, help_text="A release, or a command.")
    reason = models.TextField()
    reverts_to = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The version whose tuning it brings back.",
    )
    files = models.JSONField(help_text="Name and text of each rule file, as they are written.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the rules, without the number.")
    changes = models.JSONField(
        default=dict, help_text="Of each rule that operators changed: its id, and the version of its change."
    )
    rule_count = models.PositiveIntegerField()
    replaced = models.JSONField(
        null=True, blank=True, help_text="What was there before, where no version was published yet."
    )
    refused_file = models.CharField(max_length=200, blank=True)
    refused_line = models.PositiveIntegerField(null=True, blank=True)
    refused_column = models.PositiveIntegerField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    differs_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when Prometheus has had others, although it is published."
    )
    differs_because = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name = "version of the rules"
        verbose_name_plural = "versions of the rules"
        default_permissions = ("view",)
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["number"], name="versions_of_rules_have_their_own_number"),
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="published"),
                name="one_version_of_rules_is_published",
            ),
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="waiting"), name="one_version_of_rules_waits"
            ),
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="publishing"),
                name="one_version_of_rules_is_being_published",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="published") | models.Q(published_at__isnull=False),
                name="a_published_version_of_rules_has_its_time",
            ),
            models.CheckConstraint(
                condition=models.Q(author__isnull=False) ^ ~models.Q(author_text=""),
                name="a_version_of_rules_has_one_author",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="a_version_of_rules_has_a_reason"),
        ]
        indexes = [
            models.Index(fields=["-published_at"], name="rules_by_publication"),
            models.Index(fields=["state", "-number"], name="rules_by_state"),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="version_of_rules_is_history",
                fields=[
                    "number",
                    "author",
                    "author_text",
                    "reason",
                    "reverts_to",
                    "files",
                    "digest",
                    "created_at",
                ],
            ),
            pgtrigger.Protect(name="version_of_rules_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"Version {self.number}"

    @property
    def is_open(self) -> bool:
        """Returns whether the worker still has to do something about it."""
        return self.state in (self.State.WAITING, self.State.PUBLISHING)
