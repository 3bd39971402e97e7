"""Database metrics: statements by verb, and open connections."""

import copy
import gc
import warnings
import weakref

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.utils import ProgrammingError

from observability.metrics import REGISTRY, query_durations
from observability.telemetry.clock import clock
from observability.telemetry.database import durations_of, open_connections
from observability.tests.samples import Change, sample

pytestmark = pytest.mark.django_db(transaction=True)

QUERIES = "db_query_duration_seconds_count"


def second_connection(**options: object) -> DatabaseWrapper:
    """A connection of its own, as another thread would have."""
    settings_dict = copy.deepcopy(connection.settings_dict)
    settings_dict["OPTIONS"] |= options
    if "pool" in options:
        settings_dict["CONN_MAX_AGE"] = 0  # what Django asks for with a pool
    return DatabaseWrapper(settings_dict, alias="second")


@pytest.mark.parametrize(
    ("statement", "operation"),
    [
        ("SELECT 1", "SELECT"),
        ("  select 1", "SELECT"),
        ("(SELECT 1) UNION (SELECT 2)", "SELECT"),
        ("WITH one AS (SELECT 1) SELECT * FROM one", "OTHER"),
        ("SET statement_timeout = 0", "OTHER"),
    ],
)
def test_a_statement_is_timed_under_its_verb(statement: str, operation: str) -> None:
    timed = Change(QUERIES, operation=operation)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert timed() == 1


def test_a_statement_that_fails_is_timed_too() -> None:
    timed = Change(QUERIES, operation="SELECT")
    with connection.cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("SELECT nothing FROM nowhere")
    assert timed() == 1


def test_statements_that_are_not_text_have_a_verb_or_are_other() -> None:
    assert durations_of(b"INSERT INTO x") is query_durations["INSERT"]
    assert durations_of(object()) is query_durations["OTHER"]


def test_what_iterator_reads_through_a_server_side_cursor_is_counted() -> None:
    ContentType.objects.get_or_create(app_label="sample", model="sample")
    timed = Change(QUERIES, operation="SELECT")
    with transaction.atomic():
        assert list(ContentType.objects.filter(app_label="sample").iterator())
    assert timed() == 1


def test_connections_are_counted_and_not_a_pools_checkouts() -> None:
    opened = Change("db_connections_active")
    pooled = second_connection(pool={"min_size": 1, "max_size": 1})
    try:
        for _ in range(20):
            with pooled.cursor() as cursor:
                cursor.execute("SELECT 1")
            pooled.close()
        assert pooled.pool is not None
        assert opened() == pooled.pool.get_stats()["pool_size"] == 1
    finally:
        pooled.close_pool()
    assert opened() == 0


def test_a_connection_counts_until_it_is_closed() -> None:
    opened = Change("db_connections_active")
    second = second_connection()
    second.ensure_connection()
    assert opened() == 1
    second.close()
    second.close()
    assert opened() == 0
    second.ensure_connection()
    assert opened() == 1
    second.close()
    assert opened() == 0


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_connection_that_is_only_forgotten_stops_counting() -> None:
    opened = Change("db_connections_active")
    second = second_connection()
    second.ensure_connection()
    second.connection = None
    del second
    gc.collect()
    clock.count()  # at most once a second, by whatever comes next in this process
    assert opened() == 0


def test_a_connection_that_the_garbage_collector_closes_waits_for_no_lock() -> None:
    """A finalizer that changed the gauge would wait for ever for the lock that its own thread holds."""
    second = second_connection()
    second.ensure_connection()
    driver_connection = second.connection
    with open_connections.lock:
        second.connection = None
        reference = weakref.ref(driver_connection)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del driver_connection
            gc.collect()
        assert reference() is None


def test_no_label_is_a_process_id() -> None:
    labels = {label for metric in REGISTRY.collect() for one in metric.samples for label in one.labels}
    assert "pid" not in labels


def test_every_verb_is_exported_before_its_first_statement() -> None:
    for operation in query_durations:
        assert REGISTRY.get_sample_value(QUERIES, {"operation": operation}) is not None
    assert sample(QUERIES, operation="DROP") == 0
