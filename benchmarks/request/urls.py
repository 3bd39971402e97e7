"""The site's one view: one row read through the ORM, one small JSON answer."""

from django.db import models
from django.http import HttpRequest, JsonResponse
from django.urls import path


class Item(models.Model):
    name = models.TextField()

    class Meta:
        app_label = "request"
        db_table = "item"
        managed = False

    def __str__(self) -> str:
        return self.name


def item(_request: HttpRequest, number: int) -> JsonResponse:
    found = Item._default_manager.get(pk=number)
    return JsonResponse({"id": found.pk, "name": found.name})


urlpatterns = [path("items/<int:number>/", item)]
