"""Answers `/metrics` and the ping before Django, so that they work when nothing else does."""

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
# Names that platforms ask for by default: Kubernetes' own, and those of Prometheus and Alertmanager. Renamed
# here, so that hosts.py, the settings, metrics and rules know one name of each.
ALIASES = {
    "/livez": "/api/v1/ping",
    "/-/healthy": "/api/v1/ping",
    "/readyz": "/api/v1/readiness",
    "/-/ready": "/api/v1/readiness",
}


class Edge:
    """Wraps Django's WSGI application.

    It answers EDGE_ANSWERS itself: no middleware, Host check or database.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["PATH_INFO"] = ALIASES.get(environ["PATH_INFO"], environ["PATH_INFO"])
        answer = EDGE_ANSWERS.get(environ["PATH_INFO"])
        if answer is None:
            return self.application(environ, start_response)
        status, headers, body = answer(environ)
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
