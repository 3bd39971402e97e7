"""Ends what is pending in a session when its account has changed since it began.

Pending is a sign-in that waits for its second factor or for the code by mail, and every code by mail.
django-allauth stores them in the session; beside each, Amani stores the state of the account: a hash of what
decides who may use it. Each time a session is read, its pending things with another state are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import User

# Under these keys django-allauth stores them in the session.
SIGN_IN = "account_login"
AUTHENTICATIONS = ("account_authentication_methods", "account_authentication_methods_user")
CODE_FOR_ADDRESS = "account_email_verification_code"
CODE_FOR_PASSWORD = "account_password_reset_verification"  # noqa: S105  (a key of the session)
WITH_STATE = (SIGN_IN, CODE_FOR_ADDRESS, CODE_FOR_PASSWORD)
# Begun by a signed-in user, so they end with the session.
OF_SESSION = ("account_reauthentication_state", "mfa.totp.secret", "mfa.webauthn.state")

STATES = "amani_states"  # {key: [id of the user, state of the account]}


def state_of(user: User) -> str:
    """Returns a hash of what decides who may use the account.

    That is the password, the address, whether it is active, and `sessions_from`, which changes with the
    second factors, with the access rights, and when the user or a superuser ends all sessions.
    """
    parts = f"{user.get_session_auth_hash()} {user.is_active} {user.email}"
    return salted_hmac("accounts.pending", parts, algorithm="sha256").hexdigest()


def begin(session: SessionBase, key: str, user: User) -> None:
    """Stores the state of the account to which the thing under `key` is bound.

    `user` must be as it was read before the password was checked, or before the code was sent.
    """
    session[STATES] = session.get(STATES, {}) | {key: [user.pk, state_of(user)]}


def has_state(session: SessionBase, key: str, user: User) -> bool:
    """Returns whether the account is still as it was when the thing under `key` began."""
    began_with = session.get(STATES, {}).get(key)
    return began_with is not None and is_state(began_with, user)


def is_state(began_with: Any, user: User | None) -> bool:
    user_id, state = began_with
    return user is not None and user.pk == user_id and constant_time_compare(state, state_of(user))


def end_all(session: SessionBase) -> None:
    """Ends everything that is pending in the session of a signed-in user."""
    for key in (*WITH_STATE, *OF_SESSION, STATES):
        session.pop(key, None)


def leave_out_outdated(data: MutableMapping[str, Any]) -> None:
    """Removes from the data of a session what is pending for an account that has changed since.

    A pending thing without a user stays: it only pretends that the address has an account.
    """
    for key in WITH_STATE:
        if is_of_a_user(data.get(key)) and not is_current(data, key):
            del data[key]
            if key == SIGN_IN:
                for name in AUTHENTICATIONS:
                    data.pop(name, None)


def is_of_a_user(thing: Any) -> bool:
    return isinstance(thing, dict) and (thing.get("user_pk") or thing.get("user_id")) is not None


def is_current(data: MutableMapping[str, Any], key: str) -> bool:
    began_with = data.get(STATES, {}).get(key)
    return began_with is not None and is_state(began_with, User.objects.filter(pk=began_with[0]).first())


def is_about(data: Mapping[str, Any], user_id: int, addresses: set[str]) -> bool:
    """Returns whether something in the data of a session is pending for the user or one of the addresses."""
    things = [thing for key in WITH_STATE if isinstance(thing := data.get(key), dict)]
    ids = {str(state[0]) for state in data.get(STATES, {}).values()}
    return str(user_id) in ids or any(thing.get("email") in addresses for thing in things)
