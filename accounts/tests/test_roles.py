import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from accounts.roles import ACT, ROLES, SEE, ensure_roles

pytestmark = pytest.mark.django_db


def permissions_of(role: str) -> set[str]:
    return set(Group.objects.get(name=role).permissions.values_list("codename", flat=True))


def test_migrating_makes_the_two_roles_with_exactly_their_permissions() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == {"viewer", "responder"}
    assert permissions_of("viewer") == SEE
    assert permissions_of("responder") == SEE | ACT


def test_roles_are_put_right_when_somebody_changed_them() -> None:
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="resend_delivery"))
    viewer.permissions.remove(Permission.objects.get(codename="view_episode"))
    Group.objects.get(name="responder").delete()
    call_command("migrate", verbosity=0)
    assert permissions_of("viewer") == SEE
    assert permissions_of("responder") == SEE | ACT


def test_roles_wait_for_their_permissions() -> None:
    """In the first steps of a migration they are not there yet."""
    Group.objects.all().delete()
    Permission.objects.filter(codename="view_episode").delete()
    ensure_roles()
    assert not Group.objects.exists()


def test_roles_see_every_table_of_alerts_and_may_do_every_action_there_is() -> None:
    models = {model._meta.model_name for model in apps.get_app_config("observability").get_models()}
    declared = Permission.objects.filter(
        content_type__app_label="observability", content_type__model__in=models
    )
    assert set(declared.values_list("codename", flat=True)) == ROLES["responder"]
