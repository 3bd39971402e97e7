"""Defines the JSON API of buyers and sellers below /api/v1: routers, authentication and error handlers."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI, Swagger
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from accounts.api import router as accounts_router
from amani import errors, openapi
from amani.authentication import SessionCookie, SessionToken
from amani.frame import framed
from amani.parsing import StrictParser
from core.errors import AmaniError
from escrow.api.balances import router as balances_router
from escrow.api.collections import router as collections_router
from escrow.api.escrows import router as escrows_router
from escrow.api.invitations import of_escrow as escrow_invitations_router
from escrow.api.invitations import router as invitations_router
from escrow.api.milestones import router as milestones_router
from escrow.api.payouts import router as payouts_router
from escrow.api.timelines import router as timelines_router
from kyc.api import router as kyc_router


class AmaniAPI(NinjaAPI):
    """NinjaAPI whose views are wrapped by `framed`, and whose OpenAPI document describes the errors."""

    document: OpenAPISchema | None = None

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        patterns = super()._get_urls()
        for pattern in patterns:
            assert isinstance(pattern, URLPattern)  # noqa: S101  (ninja makes no others)
            pattern.callback = framed(pattern.callback)
        return patterns

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Returns the OpenAPI document. Builds it once: it is public and costs as much as ten requests."""
        if self.document is None:
            self.document = super().get_openapi_schema(**options)
            openapi.complete(self.document)
        return self.document


def raise_again(_request: HttpRequest, error: Any) -> HttpResponse:
    """Leaves the error to Django, which logs, reports and counts it; amani/error_pages.py then answers."""
    raise error


api = AmaniAPI(
    title="Amani",
    version="1",
    description=openapi.DESCRIPTION,
    urls_namespace="api",
    auth=[SessionToken(), SessionCookie()],
    parser=StrictParser(),
    docs=Swagger(settings={"persistAuthorization": False, "displayRequestDuration": True}),
    docs_decorator=openapi.with_policy,
    openapi_extra={"tags": openapi.TAGS},
)
api.add_exception_handler(Exception, raise_again)
api.add_exception_handler(AmaniError, errors.problem_of)
api.add_exception_handler(ValidationError, errors.invalid_input)
api.add_exception_handler(HttpError, errors.refusal)
api.add_exception_handler(Http404, lambda _request, _error: errors.not_found())

api.add_router("/me", accounts_router, tags=["account"])
api.add_router("/kyc", kyc_router, tags=["kyc"])
for router in (escrows_router, collections_router, timelines_router, escrow_invitations_router):
    api.add_router("/escrows", router, tags=["escrow"])
api.add_router("/invitations", invitations_router, tags=["escrow"])
api.add_router("/milestones", milestones_router, tags=["escrow"])
api.add_router("/balances", balances_router, tags=["money"])
api.add_router("/payouts", payouts_router, tags=["money"])
