"""What answers before Django: `/metrics` and the ping, which must work when nothing else does."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from observability.telemetry.health import ping_answer
from observability.telemetry.metrics.exposition import Answer
from observability.telemetry.metrics.scrape import metrics_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EDGE_ANSWERS: dict[str, Callable[[Any], Answer]] = {
    "/metrics": metrics_answer,
    "/api/v1/ping": ping_answer,
}


class Edge:
    """A WSGI application around Django's: no middleware, no Host check, no session, no database."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = EDGE_ANSWERS.get(environ["PATH_INFO"])
        if answer is None:
            return self.application(environ, start_response)
        status, headers, body = answer(environ)
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
