"""A span for each request."""

from django.core.exceptions import MiddlewareNotUsed


class TracingMiddleware:
    def __init__(self, get_response: object) -> None:
        raise MiddlewareNotUsed
