"""Admin page of users, for superusers: create operators, give them roles, reset passwords and factors."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import operators, second_factor
from accounts.addresses import has_verified
from accounts.mail import admin as mails  # noqa: F401  (registers the page of mails)
from accounts.models import User
from core.console.history import posted_reason, see_other
from core.console.lists import StrictList
from core.errors import AmaniError
from core.roles import descriptions

# Groups are defined in code (core/roles.py). The other three are django-allauth's: their pages would show
# the secrets of second factors, and delete factors, addresses and sessions without asking for a reason.
admin.site.unregister([Group, Authenticator, EmailAddress, UserSession])


class CreateUserForm(UserCreationForm):  # type: ignore[misc]  # unfold ships no types
    class Meta:
        model = User
        fields = ("email",)
        field_classes: ClassVar[dict[str, type]] = {}

    def clean_email(self) -> str:
        return free_email(self.cleaned_data["email"], self.instance)


class ChangeUserForm(UserChangeForm):  # type: ignore[misc]  # unfold ships no types
    class Meta:
        model = User
        fields = "__all__"
        field_classes: ClassVar[dict[str, type]] = {}

    def clean_email(self) -> str:
        return free_email(self.cleaned_data["email"], self.instance)

    def clean(self) -> dict[str, Any]:
        """Refuses to make an operator of an account whose e-mail address is not verified.

        A stranger can sign up with the address of a future operator and choose the password.
        """
        data: dict[str, Any] = super().clean()
        is_promoted = any(
            data.get(flag) and flag in self.changed_data for flag in ("is_staff", "is_superuser")
        )
        if is_promoted and not has_verified(user=self.instance, email=data.get("email", "")):
            raise ValidationError(
                "The e-mail address of this account is not verified, so a stranger may have chosen its "
                "password. Ask the owner to sign in first, or to reset the password with a code by mail.",
                code="not_proved",
            )
        return data


def free_email(email: str, user: User) -> str:
    """Returns the address as it is stored. Raises ValidationError if another user has verified it.

    A user who is changing their own address to it may have verified it already.
    """
    email = email.strip().lower()
    if EmailAddress.objects.filter(email=email, verified=True).exclude(user_id=user.pk).exists():
        raise ValidationError("Another account has verified this address.", code="taken")
    return email


@admin.register(User)
class UserAdmin(StrictList, DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # unfold ships no types
    form = ChangeUserForm
    add_form = CreateUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "full_name", "roles", "is_staff", "is_active", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("email", "full_name")
    ordering = ("email",)
    show_full_result_count = False
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    change_form_outer_after_template = "accounts/second_factor_of_user.html"
    fieldsets = (
        (None, {"fields": ("email", "full_name", "password")}),
        ("Access", {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "full_name", "password1", "password2", "is_staff", "groups")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Shows the roles as checkboxes."""
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        kwargs |= {"label": "Roles", "help_text": descriptions()}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="roles")
    def roles(self, user: User) -> str | SafeString:
        names = [group.name for group in user.groups.all()]
        names += ["superuser"] if user.is_superuser else []
        return format_html_join(", ", "{}", ((name,) for name in names)) or "—"

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        operators.apply_change(user=obj, changed=form.changed_data)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        user = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if user:
            context |= {"factors": second_factor.factors_of(user), "resets": operators.resets_of(user)[:5]}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        reset = self.admin_site.admin_view(require_POST(self.reset_second_factor))
        own = [path("<int:pk>/reset-second-factor/", reset, name="accounts_user_reset_second_factor")]
        return own + super().get_urls()

    def reset_second_factor(self, request: HttpRequest, pk: int) -> HttpResponse:
        actor = request.user
        if not isinstance(actor, User) or not is_superuser(request):
            raise PermissionDenied
        try:
            user = operators.reset_second_factor(user_id=pk, actor=actor, reason=posted_reason(request))
        except User.DoesNotExist as problem:
            raise Http404("There is no such account.") from problem
        except AmaniError as problem:
            messages.error(request, str(problem))
        else:
            messages.success(request, f"The second factor of {user} was removed and all sessions were ended.")
        return see_other(reverse("admin:accounts_user_change", args=[pk]))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Returns True for superusers only, because this page can make any user a superuser.

        An erased account cannot be changed: a form opened before the erasure must not restore the name.
        """
        return is_superuser(request) and (obj is None or obj.erased_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Returns False: the history refers to accounts. They are switched off instead."""
        return False


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)
