"""Amani's addresses and some of tests: one that works, one that fails, one that queues a task that fails."""

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.urls import path

from amani.urls import handler400, handler403, handler404, handler429, handler500  # noqa: F401  (Django's)
from amani.urls import urlpatterns as product_urlpatterns
from tests.installation_tasks import call_and_fail
from tests.leaky import urlpatterns as leaky_urlpatterns


def works(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("This view fails on purpose.")


def queues(request: HttpRequest) -> HttpResponse:
    call_and_fail.delay(Group.objects.count())
    return HttpResponse("queued")


urlpatterns = [
    path("test/works", works),
    path("test/fails", fails),
    path("test/queues", queues),
    *leaky_urlpatterns,
    *product_urlpatterns,
]
