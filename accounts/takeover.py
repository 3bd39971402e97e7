"""Empties an account that a stranger filled in, when the owner of its address takes it over.

Strangers can sign up with any address. The account stays closed, because the code goes to the owner
of the address; but its name, telephone number, country and password are the stranger's. The owner gets into
it by asking for a new password.
"""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from accounts import pending, profile
from accounts.models import User


@receiver(email_confirmed, dispatch_uid="accounts.takeover.empty_account")
def empty_account(request: HttpRequest, email_address: EmailAddress, **_: Any) -> None:
    """Empties the profile, and the password that the code is about to replace.

    Does nothing if the address was verified otherwise, with the password; if the account has another verified
    address; and for operators, whose profile a superuser wrote.
    """
    if pending.CODE_FOR_PASSWORD not in request.session:
        return
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=email_address.user_id)
        others = EmailAddress.objects.filter(user=user, verified=True).exclude(pk=email_address.pk)
        if user.is_staff or others.exists():
            return
        for name in profile.FIELDS:
            setattr(user, name, "")
        has_old_password = pending.has_state(request.session, pending.CODE_FOR_PASSWORD, user)
        if has_old_password:  # the pages ask for the new one after the code
            user.password = make_password(None)
        user.save(update_fields=[*profile.FIELDS, "password"])
        if has_old_password:
            pending.begin(request.session, pending.CODE_FOR_PASSWORD, user)
