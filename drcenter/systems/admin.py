"""Protected systems in the panel."""

from typing import Any

from django.contrib import admin
from django.db.models import JSONField, TextField
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from drcenter.panel.pages import PanelAdmin
from drcenter.systems.models import Contact, System, Target


class TargetInline(TabularInline):
    model = Target
    extra = 0
    tab = True


class ContactInline(TabularInline):
    model = Contact
    extra = 0
    tab = True


@admin.register(System)
class SystemAdmin(PanelAdmin):
    list_display = ("name", "slug", "time_zone", "created_at")
    search_fields = ("name", "slug", "description")
    inlines = (TargetInline, ContactInline)
    empty_hint = _(
        "On the machine of the application: manage.py protect PATH looks at it and proposes a plan."
    )
    fieldsets = (
        (None, {"fields": ("name", "slug", "description", "time_zone")}),
        (
            _("Restore into production"),
            {
                "fields": (
                    "pause_command", "after_restore_command", "resume_command", "commands_directory",
                    "commands_user",
                ),
                "description": _("What is run on this machine around a restore into production."),
            },
        ),
    )  # fmt: skip

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, (JSONField, TextField)):
            field.widget.attrs["rows"] = 3
        return field

    def zone(self, obj: System) -> str:
        return obj.time_zone

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The key is part of every name in storage: it stays once there are sets.
        return ("slug",) if obj is not None and obj.sets.exists() else ()
