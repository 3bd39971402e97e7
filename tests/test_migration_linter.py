"""`make lint` refuses a migration that the previous version could not run beside (docs/operations.md)."""

from __future__ import annotations

import pytest
from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django_migration_linter.sql_analyser.analyser import analyse_sql_statements

from local.lint_migrations import make_linter

pytestmark = pytest.mark.django_db

TABLE = ModelState(
    "observability",
    "Thing",
    fields=[
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("note", models.TextField(null=True)),
    ],
)
LIMIT = models.CheckConstraint(condition=models.Q(id__lt=9), name="few")


def refusals(operation: Operation) -> set[str]:
    """Returns the codes of the rules that refuse a migration of these operations on TABLE."""
    before = ProjectState()
    before.add_model(TABLE.clone())
    after = before.clone()
    operation.state_forwards("observability", after)
    with connection.schema_editor(collect_sql=True) as editor:
        operation.database_forwards("observability", editor, before, after)
    linter = make_linter()
    errors, _, warnings = analyse_sql_statements(
        linter.sql_analyser_class, ["BEGIN;", *editor.collected_sql, "COMMIT;"]
    )
    assert linter.all_warnings_as_errors
    return {issue.code for issue in errors + warnings}


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (migrations.RemoveField("thing", "note"), "DROP_COLUMN"),
        (migrations.RenameField("thing", "note", "text"), "RENAME_COLUMN"),
        (migrations.AlterField("thing", "name", models.IntegerField()), "ALTER_COLUMN"),
        (migrations.DeleteModel("thing"), "DROP_TABLE"),
        (migrations.RenameModel("thing", "other"), "RENAME_TABLE"),
        (migrations.AlterField("thing", "note", models.TextField()), "NOT_NULL"),
        # Django removes the default again: the previous version's INSERT would have no value.
        (migrations.AddField("thing", "size", models.IntegerField(default=0)), "NOT_NULL"),
        (migrations.AlterField("thing", "name", models.CharField(max_length=20, unique=True)), "ADD_UNIQUE"),
        (
            migrations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="once")),
            "ADD_UNIQUE",
        ),
        (migrations.AddConstraint("thing", LIMIT), "ADD_CHECK"),
        (migrations.AddIndex("thing", models.Index(fields=["name"], name="by_name")), "CREATE_INDEX"),
        (migrations.RunSQL("ALTER TABLE observability_thing DROP COLUMN note"), "DROP_COLUMN"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_the_previous_version_would_not_survive_is_refused(operation: Operation, code: str) -> None:
    assert code in refusals(operation)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thing", "size", models.IntegerField(null=True)),
        migrations.AddField("thing", "size", models.IntegerField(default=0, db_default=0)),
        migrations.AlterField("thing", "name", models.CharField(max_length=20, null=True)),
        migrations.CreateModel(
            "Other", [("id", models.BigAutoField(primary_key=True))], {"constraints": [LIMIT]}
        ),
    ],
    ids=["nullable column", "column with a default in the database", "no longer required", "table"],
)
def test_what_the_previous_version_does_not_notice_is_taken(operation: Operation) -> None:
    assert refusals(operation) == set()
