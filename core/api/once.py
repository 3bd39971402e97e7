"""Writes that happen once: a request that is sent again with its Idempotency-Key gets the first answer again.

The key's row is written in the transaction of the action, so both are there or neither is, also after a
crash. Two requests with one key meet at the unique constraint: the second waits for the end of the first.
What is refused (4xx) or fails (5xx) is rolled back with its key, and may be sent again. How an app uses it:

    once = OncePerKey(IdempotencyKey, hours=lambda: settings.IDEMPOTENCY_KEY_HOURS)

    @router.post("/payouts", response={201: PayoutShown})
    @once(moves_money=True)
    def request_payout(request: HttpRequest, wanted: PayoutWanted) -> Answer:
        payout = payouts.request(...)
        return Answer(201, shown(payout), location=f"{request.path}/{payout.public_id}")

    forget_old(IdempotencyKey)                   # core/api/keys.py, in a task of beat
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.renderers import JSONRenderer

from core.api import keys
from core.api.keys import KeptAnswer, KeyReused, KeySpent
from core.api.versions import etag, with_parameter
from core.errors import Invalid

View = Callable[..., Any]

REPLAYED = "Idempotency-Replayed"
NO_BODY = (b"", b"{}")
PARAMETER = {
    "in": "header",
    "name": keys.HEADER,
    "required": True,
    "schema": {
        "type": "string",
        "minLength": keys.SHORTEST_KEY,
        "maxLength": keys.LONGEST_KEY,
        "pattern": "^[!-~]+$",
        "title": keys.HEADER,
    },
    "description": "Your name for this request, for example a new UUID. Send the request again with the "
    "same key, for example after a time-out, and you get the first answer again, with "
    "`Idempotency-Replayed: true`; nothing happens twice. The same key with another request is refused "
    "with 409.",
    "example": "0b5f1c1e-6a0f-4a39-9c7d-0a1d5a1b8f3e",
}


class BodyNotExpected(Invalid):
    code = "body_not_expected"

    def __init__(self) -> None:
        super().__init__("This request has no body.", fields={"body": ["Send none."]})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answers: the part of a response that is kept. `version` becomes the ETag."""

    status: int
    content: Schema
    location: str = ""
    version: int | None = None

    def headers(self) -> dict[str, str]:
        found = {"Location": self.location} if self.location else {}
        return found if self.version is None else {**found, "ETag": etag(self.version)}


@dataclass(frozen=True, slots=True)
class Write:
    """One request with its key, and what its view does."""

    request: HttpRequest
    key: str
    act: Callable[[], Answer]

    @property
    def principal_id(self) -> int:
        return int(self.request.auth.pk)  # type: ignore[attr-defined]  # the user whom ninja authenticated


class OncePerKey:
    """Decorates views of Ninja. One object for each table of keys."""

    def __init__(self, model: type[KeptAnswer], *, hours: Callable[[], float]) -> None:
        """`hours`: how long an answer is kept; never less than LEAST_KEPT."""
        self.model = model
        self.hours = hours

    def __call__(
        self, *, moves_money: bool, still_true: Callable[[KeptAnswer], None] | None = None
    ) -> Callable[[View], View]:
        """Returns a decorator of a view that returns an Answer.

        `moves_money`: the key is never free again, also when its answer is forgotten. `still_true` is called
        before an answer is given again, and raises an error if it would mislead by now.
        """

        def decorated(view: View) -> View:
            takes_body = has_body_parameter(view)

            @wraps(view)
            def view_once(request: HttpRequest, *args: Any, **values: Any) -> HttpResponse:
                write = Write(request, keys.key_of(request), lambda: view(request, *args, **values))
                if not takes_body and request.body not in NO_BODY:
                    raise BodyNotExpected
                with transaction.atomic():
                    return self.answered(write, moves_money=moves_money, still_true=still_true)

            return with_parameter(view_once, view, PARAMETER)

        return decorated

    def answered(
        self, write: Write, *, moves_money: bool, still_true: Callable[[KeptAnswer], None] | None
    ) -> HttpResponse:
        row_id = keys.claim(
            self.model,
            principal_id=write.principal_id,
            key=write.key,
            request_hash=keys.hash_of(write.request),
            moves_money=moves_money,
            kept_for=timedelta(hours=self.hours()),
        )
        if row_id is None:
            kept = self.kept_for(write)
            if still_true is not None:
                still_true(kept)
            self.record("repeated")
            return response_of(kept.status or 0, bytes(kept.body), {**kept.headers, REPLAYED: "true"})
        return self.first(write, row_id)

    def first(self, write: Write, row_id: int) -> HttpResponse:
        answer = write.act()
        body, headers = rendered(write.request, answer), answer.headers()
        rows = self.model._default_manager.filter(pk=row_id)  # noqa: SLF001  (Django's documented way)
        rows.update(status=answer.status, body=body, headers=headers)
        transaction.on_commit(lambda: self.record("first"))
        return response_of(answer.status, body, headers)

    def kept_for(self, write: Write) -> KeptAnswer:
        """Returns the first answer to the same request. Raises KeyReused or KeySpent."""
        rows = self.model._default_manager.all()  # noqa: SLF001  (Django's documented way)
        kept = rows.filter(principal_id=write.principal_id, key=write.key).first()
        if kept is None or kept.status is None:  # forgotten a moment ago, or long ago
            self.record("refused")
            raise KeySpent
        if not keys.is_same(write.request, kept):
            self.record("refused")
            raise KeyReused
        return kept

    def record(self, outcome: str) -> None:
        """Counts a request by what was answered: `first`, `repeated` or `refused`. An app may override it."""


def has_body_parameter(view: View) -> bool:
    """Returns whether the view takes a body: one of its parameters is a Schema."""
    found = inspect.signature(view, eval_str=True).parameters.values()
    return any(isinstance(one.annotation, type) and issubclass(one.annotation, Schema) for one in found)


def rendered(request: HttpRequest, answer: Answer) -> bytes:
    """Returns the content as JSON, as Ninja writes it for the routes that read."""
    text = JSONRenderer().render(request, answer.content.model_dump(), response_status=answer.status)
    return str(text).encode()


def response_of(status: int, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    media_type = "application/json; charset=utf-8"
    return HttpResponse(body, status=status, content_type=media_type, headers=dict(headers))
