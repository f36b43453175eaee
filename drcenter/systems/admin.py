"""Protected systems in the panel."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import JSONField, TextField, URLField
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.decorators import display

from drcenter.audit.record import record as audit
from drcenter.deadline import within
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Record, Tone, Verdict
from drcenter.panel.options import OptionsAdmin
from drcenter.panel.pages import PanelAdmin, address
from drcenter.permissions import may
from drcenter.systems import halt
from drcenter.systems.control import controls
from drcenter.systems.models import Contact, Halt, System, Target


class TargetInline(TabularInline):
    model = Target
    extra = 0
    tab = True


class ContactInline(TabularInline):
    model = Contact
    extra = 0
    tab = True


class LookAtHalt(ActPage):
    """Asks what runs now, so that one knows before the bad night that the way can be gone. Changes nothing."""

    permission = "systems.change_halt"
    action = "halt.look"
    asks = False

    def perform(self, form: Any) -> str:
        with transaction.atomic():
            audit(self.actor, self.action, self.row)
        ground, way = halt.ApplicationsGround(self.row.system), self.row.build()
        found = within(lambda: halt.look(way, ground))
        told = ", ".join(f"{name}: {_shown(value)}" for name, value in found.items())
        messages.success(self.request, _("It can be stopped and started. Now: %(found)s.") % {"found": told})
        return address(self.row)


def _shown(value: Any) -> str:
    return words.yes_or_no(value) if isinstance(value, bool) else str(value)


@admin.register(Halt)
class HaltAdmin(OptionsAdmin, PanelAdmin):
    plugin_field = "kind"
    own_fields = ("system", "order", "enabled")
    choose_title = gettext_lazy("How is the application stopped?")
    list_display = ("__str__", "what", "order", "enabled")
    list_filter = ("system", "kind", "enabled")
    list_select_related = ("system",)
    empty_hint = gettext_lazy(
        "Add how the application is stopped before a restore over production: what ran before is given back after it."
    )

    def plugins(self) -> Mapping[str, Any]:
        return controls()

    @display(description=gettext_lazy("what is stopped"))
    def what(self, way: Halt) -> str:
        return way.build().describe()

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(LookAtHalt.as_view(model_admin=self))
        return [path("<int:pk>/look/", page, name="systems_halt_look"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: Halt) -> Record:
        tone, icon = (Tone.IDLE, "pause_circle") if obj.enabled else (Tone.WARN, "pause_circle_off")
        sentence = "" if obj.enabled else _("Switched off: a restore over production does not stop it.")
        look = Button(_("Look"), address(obj, "look"), "visibility", post=True)
        allowed = may(request, LookAtHalt.permission)
        return Record(
            Verdict(obj.build().describe(), tone, icon, sentence), buttons=[look] if allowed else []
        )


@admin.register(System)
class SystemAdmin(PanelAdmin):
    list_display = ("name", "slug", "time_zone", "created_at")
    search_fields = ("name", "slug", "description")
    inlines = (TargetInline, ContactInline)
    empty_hint = gettext_lazy(
        "On the machine of the application: manage.py protect PATH looks at it and proposes a plan."
    )
    fieldsets = (
        (None, {"fields": ("name", "slug", "description", "address", "time_zone")}),
        (
            gettext_lazy("Restore into production"),
            {
                "fields": (
                    "pause_command", "after_restore_command", "resume_command", "commands_directory",
                    "commands_user",
                ),
                "description": gettext_lazy("What is run on this machine around a restore into production."),
            },
        ),
    )  # fmt: skip

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, URLField):
            kwargs["assume_scheme"] = "https"
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, (JSONField, TextField)):
            field.widget.attrs["rows"] = 3
        return field

    def zone(self, obj: System) -> str:
        return obj.time_zone

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The key is part of every name in storage: it stays once there are sets.
        return ("slug",) if obj is not None and obj.sets.exists() else ()
