"""Amani's addresses and two of a test: one that works and one that fails, as an application's views do."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from amani.urls import urlpatterns as product_urlpatterns


def works(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("This view fails on purpose.")


urlpatterns = [path("test/works", works), path("test/fails", fails), *product_urlpatterns]
