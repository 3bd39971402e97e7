"""Ends the sessions of an account when its state changes: password, address, second factors, access.

Only the session in which the owner made the change continues. What waits in a session for a code or a second
factor ends too, see accounts/pending.py.
"""

from __future__ import annotations

from typing import Any

from allauth.account.signals import email_changed, password_changed, password_set
from allauth.core import context
from allauth.mfa.models import Authenticator
from django.contrib.auth import HASH_SESSION_KEY
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import known_devices, pending
from accounts.models import User


def end_sessions(user: User) -> None:
    """Ends all sessions of the user, in browsers and apps, and what is pending in them."""
    user.sessions_from = timezone.now()
    User.objects.filter(pk=user.pk).update(sessions_from=user.sessions_from)


def end_other_sessions(request: HttpRequest, user: User) -> None:
    """Ends all sessions of the user but that of the request, and what is pending in all of them.

    In one transaction: another request of this session must not find it ended in between.
    """
    with transaction.atomic():
        end_sessions(user)
        request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        pending.end_all(request.session)
        request.session.save()
    known_devices.remember(request, user)


def end_sessions_after_own_change(user: User) -> None:
    """Ends all sessions of the user but that of the current request, if the user sent it."""
    request: HttpRequest | None = context.request
    if request is not None and request.user.is_authenticated and request.user.pk == user.pk:
        end_other_sessions(request, user)
    else:
        end_sessions(user)


@receiver([post_save, post_delete], sender=Authenticator, dispatch_uid="accounts.account_state.factors")
def factors_changed(instance: Authenticator, *, created: bool = True, **_: Any) -> None:
    """Listens to the rows, because the signals of django-allauth come after the commit, or not at all."""
    if created:
        end_sessions_after_own_change(instance.user)


@receiver(email_changed, dispatch_uid="accounts.account_state.address")
def address_changed(user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
    """Ignores the first verification of an address: then nothing has changed, and no session exists."""
    if from_email_address is not None and from_email_address.email != to_email_address.email:
        end_sessions_after_own_change(user)


@receiver([password_changed, password_set], dispatch_uid="accounts.account_state.password")
def own_password_changed(request: HttpRequest, **_: Any) -> None:
    """Ends what is pending in this session. Django ends the other sessions: they have another hash."""
    pending.end_all(request.session)
