"""Models of accounts: users (buyers, sellers and operators) and the outbox of mails to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from accounts.passwords import normalised
from core.leases import LeasedWork


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Creates a user with the address in lower case. Without a password, password sign-in is disabled."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


if TYPE_CHECKING:  # mypy would allow every attribute on a model with a base that a call returns

    class CountedUser:
        pass
else:
    CountedUser = ExportModelOperationsMixin("accounts.user")


class User(CountedUser, AbstractBaseUser, PermissionsMixin):
    """An account. The e-mail address is the login name."""

    email = models.EmailField("e-mail address", unique=True)
    full_name = models.CharField(max_length=200, blank=True)
    phone_number = models.CharField(
        max_length=16, blank=True, db_default="", help_text="E.164: + and up to 15 digits."
    )
    country = models.CharField(max_length=2, blank=True, db_default="", help_text="ISO 3166-1 alpha-2.")
    is_staff = models.BooleanField("may sign in to the admin", default=False)
    is_active = models.BooleanField(default=True, help_text="Switch off instead of deleting the account.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    erased_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since then the row has no personal data."
    )

    sessions_from = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Sessions that began before this time are invalid."
    )

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="accounts_user_email_is_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else normalised(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Returns whether the password is right, however its characters are composed (NFKC).

        A hash from before passwords were normalised is compared with the password as typed; if it matches,
        it is replaced by the hash of the normalised password.
        """
        if raw_password is None:
            return False
        spelling = normalised(raw_password)
        if super().check_password(spelling):
            return True
        if spelling == raw_password or not super().check_password(raw_password):
            return False
        before, self.password = self.password, make_password(spelling)
        User.objects.filter(pk=self.pk, password=before).update(password=self.password)
        return True

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Returns a hash of the password and `sessions_from`. Django ends sessions that have another hash."""
        by_password: str = super()._get_session_auth_hash(secret)  # type: ignore[misc]  # not in the stubs
        return f"{by_password}{self.sessions_from.isoformat()}" if self.sessions_from else by_password

    def get_full_name(self) -> str:
        return self.full_name or self.email

    def get_short_name(self) -> str:
        return self.full_name.split(" ", 1)[0] or self.email


class Mail(LeasedWork):
    """A row of the mail outbox: one mail to one recipient, stored before the mail server is contacted.

    The content (codes and addresses) is encrypted, and is deleted when the mail is sent or given up.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "to be sent"
        SENT = "sent", "accepted by the mail server"
        REFUSED = "refused", "refused permanently"
        GIVEN_UP = "given_up", "given up"

    kind = models.CharField(max_length=64, help_text="Name of the template.")
    domain = models.CharField(max_length=253, help_text="Domain of the recipient's address.")
    address_hash = models.CharField(
        max_length=64, db_index=True, help_text="Keyed hash of the address, to find the mails of an account."
    )
    person = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty if unknown."
    )
    content = models.BinaryField(null=True, blank=True, help_text="Encrypted by core/encryption.py.")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    last_error = models.TextField(
        blank=True, db_column="reason", help_text="Why the last attempt failed, without any address."
    )
    expires_at = models.DateTimeField(help_text="After this time the mail is given up: its code has expired.")
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering: ClassVar[list[str]] = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    state="waiting",
                    content__isnull=False,
                    next_attempt_at__isnull=False,
                    finished_at__isnull=True,
                )
                | ~models.Q(state="waiting")
                & models.Q(
                    content__isnull=True,
                    next_attempt_at__isnull=True,
                    lease_until__isnull=True,
                    finished_at__isnull=False,
                ),
                name="a_mail_has_its_content_only_while_it_waits",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="mail_due", condition=models.Q(state="waiting")),
            models.Index(
                fields=["finished_at"], name="mail_ended", condition=models.Q(finished_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"Mail {self.pk}"
