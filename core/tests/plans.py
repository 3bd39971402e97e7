"""Reads which statements a page makes, and how many rows PostgreSQL looks at for one."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


def statements_of(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200, address
    return [query["sql"] for query in queries if query["sql"].lstrip().startswith(("SELECT", "WITH"))]


def rows_read(statement: str) -> tuple[int, str]:
    """(rows that PostgreSQL looked at, its plan)."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        plan = cursor.fetchone()[0][0]["Plan"]
    return sum(looked_at(node) for node in nodes(plan)), json.dumps(plan)


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", []) for inner in nodes(child))]


def looked_at(node: dict[str, Any]) -> int:
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if "Scan" in node["Node Type"] else 0
    return int(seen * node["Actual Loops"])
