"""Moves what is written about events into the rows that can be deleted, encrypted.

Deletes what accounts and cases that are erased already have left.
"""

import pgtrigger
from django.db import migrations

from core.encryption import decrypt, encrypt

BATCH = 1_000
TRIGGER = "kyc.CaseEvent:case_event_is_append_only"


OF_ERASED_CASES = "(c.erased_at IS NOT NULL OR c.state = 'draft' AND c.number_encrypted = '')"
OF_ERASED_ACCOUNTS = "c.person_id IN (SELECT id FROM accounts_user WHERE erased_at IS NOT NULL)"
LEFT_BY_ERASURES = (
    f"""DELETE FROM kyc_caseeventtext t USING kyc_caseevent e, kyc_case c
        WHERE t.event_id = e.id AND e.case_id = c.id AND e.event <> 'erase' AND {OF_ERASED_CASES}""",
    f"""UPDATE kyc_check k SET result_text = '', last_error = '' FROM kyc_case c
        WHERE k.case_id = c.id AND ({OF_ERASED_CASES} OR {OF_ERASED_ACCOUNTS})""",
    f"""UPDATE kyc_providerevent p SET asked_again_because = '' FROM kyc_check k, kyc_case c
        WHERE p.check_row_id = k.id AND k.case_id = c.id AND {OF_ERASED_ACCOUNTS}""",
    f"UPDATE kyc_case c SET reason = '' WHERE {OF_ERASED_CASES} OR {OF_ERASED_ACCOUNTS}",
)


def move(apps, schema_editor):
    texts = apps.get_model("kyc", "CaseEventText").objects
    with schema_editor.connection.cursor() as cursor, pgtrigger.ignore(TRIGGER):
        while True:
            cursor.execute(
                "SELECT id, reason FROM kyc_caseevent WHERE reason <> '' ORDER BY id LIMIT %s", [BATCH]
            )
            rows = cursor.fetchall()
            if not rows:
                break
            texts.bulk_create(texts.model(event_id=pk, encrypted=encrypt(text.encode())) for pk, text in rows)
            cursor.execute(
                "UPDATE kyc_caseevent SET reason = '' WHERE id = ANY(%s)", [[pk for pk, _ in rows]]
            )
        for statement in LEFT_BY_ERASURES:
            cursor.execute(statement)


def move_back(apps, schema_editor):
    texts = apps.get_model("kyc", "CaseEventText").objects
    with schema_editor.connection.cursor() as cursor, pgtrigger.ignore(TRIGGER):
        for row in texts.iterator(chunk_size=BATCH):
            text = decrypt(row.encrypted).decode()
            cursor.execute("UPDATE kyc_caseevent SET reason = %s WHERE id = %s", [text, row.event_id])
    texts.all().delete()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_people"), ("kyc", "0005_texts_of_events")]

    operations = [migrations.RunPython(move, move_back)]
