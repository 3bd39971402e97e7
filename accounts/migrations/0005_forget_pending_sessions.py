"""Deletes the sessions without a user, which have codes in clear: who was signing in or up begins again.

Empties what superusers wrote about accounts that are erased already.
"""

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations

BATCH = 1_000
RESET = "Reset the second factor: "


def forget_pending(apps, schema_editor):
    sessions = apps.get_model("sessions", "Session").objects
    decode = SessionStore().decode
    without_user = [
        key
        for key, data in sessions.values_list("session_key", "session_data").iterator(chunk_size=BATCH)
        if SESSION_KEY not in decode(data)
    ]
    for start in range(0, len(without_user), BATCH):
        sessions.filter(session_key__in=without_user[start : start + BATCH]).delete()


def empty_reasons(apps, schema_editor):
    erased = apps.get_model("accounts", "User").objects.filter(erased_at__isnull=False)
    entries = apps.get_model("admin", "LogEntry").objects.filter(
        content_type__app_label="accounts", change_message__startswith=RESET
    )
    for pk in erased.values_list("pk", flat=True).iterator(chunk_size=BATCH):
        entries.filter(object_id=str(pk)).update(change_message=RESET)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_mail_last_error"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(forget_pending, migrations.RunPython.noop),
        migrations.RunPython(empty_reasons, migrations.RunPython.noop),
    ]
