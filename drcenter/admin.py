"""Users and groups, in the panel's dress and in the audit trail."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Record, Tone, Verdict
from drcenter.panel.pages import PanelAdmin, address
from drcenter.permissions import may
from drcenter.signin import factors, roles

admin.site.unregister(User)
admin.site.unregister(Group)


class ResetFactors(ActPage):
    """For somebody whose telephone is gone; from the shell: manage.py sign-in reset NAME."""

    permission = "auth.change_user"
    action = "signin.reset"
    dangerous = True

    def title(self) -> str:
        return _("Remove the second factors of %(user)s?") % {"user": self.row}

    def submit_label(self) -> str:
        return _("Remove them")

    def facts(self) -> list[Fact]:
        return [Fact(_("user"), str(self.row)), Fact(_("signs in with"), factors.described(self.row))]

    def steps(self) -> list[str]:
        return [
            _("The authenticator app, all passkeys and the recovery codes of this user count no more."),
            _("The password alone lets in then. Make sure that it is really this person who asks."),
        ]

    def permitted(self, request: HttpRequest) -> bool:
        # Whoever may edit users could otherwise take over an administrator whose password leaked.
        return super().permitted(request) and (request.user.is_superuser or not self.row.is_superuser)

    def perform(self, form: Any) -> str:
        factors.remove_all(self.row, self.actor)
        messages.success(self.request, _("The second factors were removed."))
        return address(self.row)


class NamedRights:
    """Mixed into a page with a choice of rights: Django stores their names in English alone."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if db_field.name in {"permissions", "user_permissions"} and field is not None:
            field.label_from_instance = right_in_words
            # Those of libraries mean nothing here: their rows have no pages.
            field.queryset = field.queryset.filter(content_type__app_label__in=(*roles.SEEN_APPS, "auth"))
        return field


def right_in_words(right: Permission) -> str:
    """ "Backups | set | view"; rights of our own by their sentence."""
    kind = right.content_type
    app, model = apps.get_app_config(kind.app_label).verbose_name, kind.name
    for verb, word in RIGHTS.items():
        if right.codename == f"{verb}_{kind.model}":
            return f"{app} | {model} | {_(word)}"
    return f"{app} | {model} | {_(right.name)}"


RIGHTS = {
    "view": gettext_noop("view"),
    "add": gettext_noop("add"),
    "change": gettext_noop("change"),
    "delete": gettext_noop("delete"),
}


@admin.register(User)
class UserAdmin(NamedRights, DjangoUserAdmin, PanelAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    readonly_fields = ("last_login", "date_joined")
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        rows = list(objs)
        if any(row.pk == request.user.pk for row in rows):
            return [], {}, set(), [_("You are signed in as this user: ask another administrator.")]
        return super().get_deleted_objects(rows, request)

    def obstacles(self, obj: User) -> list[str]:
        others = User.objects.filter(is_active=True, is_superuser=True).exclude(pk=obj.pk)
        if obj.is_superuser and not others.exists():
            return [_("This is the last administrator: make another one first.")]
        return []

    def consequences(self, obj: User) -> list[str]:
        return [
            _("Nobody signs in with this name any more; the second factors go with it."),
            _(
                "What the audit trail, sets and recoveries say of this user stays. Switching off would be enough."
            ),
        ]

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(ResetFactors.as_view(model_admin=self))
        return [path("<int:pk>/factors/", page, name="auth_user_factors"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: User) -> Record:
        if not factors.has_factor(obj):
            verdict = Verdict(_("password only"), Tone.WARN, "password", _("No second factor is set up."))
            return Record(verdict=verdict)
        allowed = may(request, ResetFactors.permission) and (
            request.user.is_superuser or not obj.is_superuser
        )
        reset = Button(_("Remove the second factors"), address(obj, "factors"), "phonelink_erase", "risky")
        verdict = Verdict(_("second factor"), Tone.GOOD, "verified_user", factors.described(obj))
        return Record(verdict=verdict, buttons=[reset] if allowed else [])


@admin.register(Group)
class GroupAdmin(NamedRights, DjangoGroupAdmin, PanelAdmin):  # type: ignore[misc]
    pass
