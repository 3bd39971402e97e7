"""The JSON API of buyers and sellers: every route below /api/v1, who may call it, how errors look."""

from __future__ import annotations

from allauth.headless.contrib.ninja.security import x_session_token_auth
from ninja import NinjaAPI
from ninja.security import django_auth

from amani.errors import problem_of
from observability.errors import AmaniError

api = NinjaAPI(
    title="Amani",
    version="1",
    urls_namespace="api",
    auth=[x_session_token_auth, django_auth],
)
api.add_exception_handler(AmaniError, problem_of)
