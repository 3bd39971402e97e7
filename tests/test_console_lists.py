"""Every list and page of the console, with hostile addresses and with rows at the borders of their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import User
from observability.tests import history

pytestmark = pytest.mark.django_db

ADMINS: dict[str, ModelAdmin[Any]] = {
    model._meta.label_lower: registered for model, registered in admin.site._registry.items()
}
LARGEST_PAGE = 1_000_000  # bytes


@pytest.fixture
def client() -> Client:
    """Signed in as a superuser, whom no permission stops."""
    signed_in = Client(raise_request_exception=False)
    signed_in.force_login(User.objects.create_superuser("root@example.com"))
    return signed_in


def list_of(name: str) -> str:
    return reverse(f"admin:{name.replace('.', '_')}_changelist")


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])


def fault(client: Client, path: str, address: Mapping[str, Any]) -> str:
    """Returns what is wrong with the answer: a failure, or a page of megabytes; "" for none."""
    answer = client.get(path, address)
    if answer.status_code not in (200, 302, 400, 403, 404):
        return f"{answer.status_code} {path} {str(address)[:100]}"
    return f"{len(answer.content)} bytes {path}" if len(answer.content) > LARGEST_PAGE else ""


# --- What an address may ask for ---


def columns_of_other_tables(model: type[Model]) -> list[str]:
    """Returns `relation__column` for each foreign key of the model, in both directions."""
    return [
        f"{relation.name}__{column.name}"
        for relation in model._meta.get_fields()
        if relation.is_relation and relation.related_model and not relation.many_to_many
        for column in relation.related_model._meta.concrete_fields
        if not column.primary_key
    ]


def conditions_on(model: type[Model]) -> Iterator[str]:
    for field in model._meta.concrete_fields:
        yield from (f"{field.name}__{lookup}" for lookup in field.get_lookups())


def offered(name: str, client: Client) -> list[str]:
    """Returns the parameters of the list's filters, date hierarchy and links."""
    cl = (client.get(list_of(name)).context or {}).get("cl")
    if cl is None:  # the page of limits reads no conditions
        return []
    found = [parameter for spec in cl.filter_specs for parameter in spec.expected_parameters()]
    parts = [f"{cl.date_hierarchy}__{part}" for part in ("year", "month", "day")] if cl.date_hierarchy else []
    return [*found, *parts, *cl.model_admin.linked_lookups]


@pytest.mark.parametrize("name", ADMINS)
def test_no_list_takes_a_condition_on_another_table(name: str, client: Client) -> None:
    for condition in columns_of_other_tables(ADMINS[name].model):
        answer = client.get(list_of(name), {f"{condition}__gte": "2"})
        is_a_list = answer.status_code != 200 or "cl" in answer.context
        assert answer.status_code == 400 or not is_a_list, condition


@pytest.mark.parametrize("name", ADMINS)
def test_a_list_takes_no_condition_that_it_does_not_offer(name: str, client: Client) -> None:
    """Django would take any on the table's own columns, a regular expression over megabytes among them."""
    request = RequestFactory().get("/")
    registered = ADMINS[name]
    taken = {
        each for each in conditions_on(registered.model) if registered.lookup_allowed(each, "2", request)
    }
    of_filters = {f"{each}__exact" for each in registered.list_filter}  # of some kinds of filters only
    assert taken <= {*offered(name, client), *of_filters}


# --- Values at the borders of their types ---

TEXTS = (
    "",
    "x" * 5_000,
    "\0",
    "%",
    "\\",
    "[(",
    "null",
    "true",
    "'\"<>",
    "\u202e\ud7ff",
    "\uff11",
    "," * 5_000,
)
NUMBERS = ("0", "-1", "1.5", "1e400", "NaN", "9" * 30, "9" * 5_000, f"1,{2**63}", f"{-(2**63) - 1}", "²")
DATES = ("9999", "10000", "0001-01-01", "9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+14:00")
VALUES = (*TEXTS, *NUMBERS, *DATES)
WORST = ("\0", "9" * 30, "9" * 5_000, "9999", "²")
PAGE = ("o", "q", "all", "_facets", "_popup", "_to_field", "_changelist_filters")


def addresses(offers: list[str]) -> Iterator[dict[str, Any]]:
    """Yields all parameters with each value, and each alone with the worst: one can hide another."""
    for value in VALUES:
        yield dict.fromkeys((*PAGE, *offers), value)
    for parameter in ("p", *offers):
        yield from ({parameter: value} for value in WORST)
        yield {parameter: ["\0", "1"]}


@pytest.mark.parametrize("name", ADMINS)
def test_no_value_breaks_a_list(name: str, client: Client) -> None:
    faults = [fault(client, list_of(name), address) for address in addresses(offered(name, client))]
    assert [each for each in faults if each] == []


@pytest.mark.parametrize(("year", "month"), [("9999", ""), ("9998", "12"), ("1", ""), ("1", "1")])
def test_the_first_and_the_last_year_have_a_list(year: str, month: str, client: Client) -> None:
    history.episode()
    address = {"starts_at__year": year} | ({"starts_at__month": month} if month else {})
    assert fault(client, list_of("observability.episode"), address) == ""


@pytest.mark.parametrize("name", ADMINS)
def test_no_id_breaks_a_page(name: str, client: Client) -> None:
    start = list_of(name)
    for number in ("0", "-1", "9" * 19, "9" * 30, "9" * 5_000, "\uff11", "²", "_00", "x" * 300):
        assert fault(client, f"{start}{number}/change/", {}) == "", number[:40]


def test_no_value_breaks_another_page_of_the_console(client: Client) -> None:
    fields = ("tier", "currency", "kind", "amount", "valid_from", "s", "next", "page", "term", "app_label")
    for path in ("/admin/", "/admin/search/", "/admin/kyc/limitrule/set/", "/admin/accounts/user/add/"):
        for value in VALUES:
            assert fault(client, path, dict.fromkeys(fields, value)) == ""


# --- Rows at the borders of their types ---

LONG = "long " * 20_000
MANY = {f"label_{number}": "value " * 100 for number in range(10_000)}


@pytest.mark.parametrize(
    "extreme",
    [
        {"starts_at": datetime(1, 1, 1, tzinfo=UTC)},
        {"starts_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)},
        {"labels": MANY, "annotations": MANY},
        {
            "labels": {"a": LONG * 10, LONG: "b", "service.name": LONG},
            "annotations": {"c": LONG * 10, LONG: "d"},
        },
        {"summary": LONG * 10, "generator_url": f"https://example.com/{LONG * 10}", "alertname": "x" * 200},
    ],
    ids=["first-moment", "last-moment", "ten-thousand-labels", "long-labels", "long-texts"],
)
def test_every_alert_has_a_page_of_bounded_size(
    extreme: dict[str, Any], client: Client, settings: Any
) -> None:
    settings.TRACING_ENABLED = True
    shown = history.episode(**extreme)
    sent = history.delivery(shown, state="failed", reason=LONG)
    lists = (list_of(f"observability.{name}") for name in ("episode", "delivery", "receipt"))
    for path in (
        *lists,
        "/admin/",
        page_of(shown),
        page_of(sent),
        f"{list_of('observability.episode')}{shown.pk}/samples/",
    ):
        assert fault(client, path, {}) == ""


def test_every_receipt_has_a_page_of_bounded_size(client: Client) -> None:
    notes = [{"position": number, "reason": LONG[:1_000], "excerpt": LONG[:1_000]} for number in range(2_000)]
    kept = history.receipt("partial", b"[" * 2_000_000, reason=LONG, set_aside=notes, odd_fields=notes)
    assert fault(client, page_of(kept), {}) == ""
    assert fault(client, list_of("observability.receipt"), {}) == ""
