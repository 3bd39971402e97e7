"""django-prometheus counts the saves of the business models, in values that all processes share."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.db import transaction
from django_prometheus.models import model_inserts

from accounts.models import User
from observability.tests.samples import Change
from observability.tests.waiting import COMMAND_SECONDS

COUNTED = {
    "accounts.user",
    "escrow.collection",
    "escrow.collectionevent",
    "escrow.escrow",
    "escrow.escrowevent",
    "escrow.escrowterms",
    "escrow.feerule",
    "escrow.invitation",
    "escrow.paymentevent",
    "escrow.payout",
    "escrow.payoutevent",
    "escrow.providercall",
    "kyc.case",
    "kyc.caseevent",
    "kyc.check",
    "kyc.documentaccess",
    "kyc.limitrule",
    "kyc.numberaccess",
    "kyc.providerevent",
}


def test_each_counted_model_is_named_by_its_label() -> None:
    counted = {sample.labels["model"] for metric in model_inserts.collect() for sample in metric.samples}
    assert counted == COUNTED
    assert counted <= {model._meta.label_lower for model in apps.get_models()}


@pytest.mark.django_db
def test_saves_and_deletions_of_a_user_are_counted() -> None:
    inserted, updated, deleted = (
        Change(f"django_model_{operation}_total", model="accounts.user")
        for operation in ("inserts", "updates", "deletes")
    )
    user = User.objects.create_user("ada@example.com", "a long password")
    assert (inserted(), updated(), deleted()) == (1, 0, 0)
    user.full_name = "Ada"
    user.save(update_fields=["full_name"])
    assert (inserted(), updated(), deleted()) == (1, 1, 0)
    user.delete()
    assert (inserted(), updated(), deleted()) == (1, 1, 1)


@pytest.mark.django_db
def test_a_save_that_is_rolled_back_is_counted_and_an_update_by_query_is_not() -> None:
    inserted = Change("django_model_inserts_total", model="accounts.user")
    updated = Change("django_model_updates_total", model="accounts.user")
    with transaction.atomic():
        User.objects.create_user("ada@example.com")
        transaction.set_rollback(True)
    assert not User.objects.exists()
    assert inserted() == 1
    User.objects.update(full_name="Ada")
    assert updated() == 0


@pytest.mark.parametrize(
    "first",
    ["import django; django.setup()", "from observability.telemetry import processes"],
    ids=["Django first", "processes first, as gunicorn does"],
)
def test_their_values_are_in_the_files_of_the_slot_whatever_is_imported_first(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        f"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'amani.settings'; {first};"
        "from observability.telemetry import processes; processes.start('web');"
        "import django; django.setup();"
        "from django_prometheus.models import model_inserts; model_inserts.labels('accounts.user').inc(3)"
    )
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=COMMAND_SECONDS)
    assert b'"accounts.user"' in (tmp_path / "counter_web-0.db").read_bytes()
    assert {path.stem.rpartition("_")[2] for path in tmp_path.glob("*.db")} == {"web-0"}
