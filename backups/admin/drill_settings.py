"""What a system checks in its drills, and when they are held."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups.drill_checks import checks
from backups.models import DrillCheck, DrillSchedule
from backups.schedule import Cron
from drcenter.panel import words
from drcenter.panel.look import Record, Tone, Verdict
from drcenter.panel.options import OptionsAdmin
from drcenter.panel.pages import PanelAdmin


@admin.register(DrillCheck)
class DrillCheckAdmin(OptionsAdmin, PanelAdmin):
    plugin_field = "kind"
    own_fields = ("system", "name", "enabled")
    choose_title = gettext_lazy("What is checked?")
    list_display = ("name", "system", "kind_name", "asks", "enabled")
    list_filter = ("system", "kind", "enabled")
    search_fields = ("name", "system__slug")
    list_select_related = ("system",)
    empty_hint = gettext_lazy(
        "Without checks of its own a drill shows that the bytes come back; with them, that they are right."
    )

    def plugins(self) -> Mapping[str, Any]:
        return checks()

    @display(description=gettext_lazy("kind"), ordering="kind")
    def kind_name(self, check: DrillCheck) -> str:
        return check.get_kind_display()

    @display(description=gettext_lazy("what it asks"))
    def asks(self, check: DrillCheck) -> str:
        return check.build().told if check.kind in checks() else check.kind

    def consequences(self, obj: DrillCheck) -> list[str]:
        return [_("Drills do not check it any more; past evidence stays.")]


@admin.register(DrillSchedule)
class DrillScheduleAdmin(PanelAdmin):
    list_display = ("__str__", "next_time", "target_age_days", "enabled")
    list_filter = ("system", "enabled")
    list_select_related = ("system", "plan")
    fields = ("system", "plan", "cron", "time_zone", "target_age_days", "identity", "enabled")
    empty_hint = gettext_lazy("Weekly for what matters most, quarterly for everything: drills that nobody plans are not held.")  # fmt: skip

    @display(description=gettext_lazy("next"))
    def next_time(self, row: DrillSchedule) -> str:
        from django.utils import timezone

        return (
            words.when(Cron(row.cron, row.time_zone).after(timezone.now())) if row.enabled else words.NOTHING
        )

    def record(self, request: HttpRequest, obj: DrillSchedule) -> Record:
        last = obj.drills.order_by("-pk").first()
        if last is None:
            return Record(Verdict(_("nothing yet"), Tone.WARN, "event", _("No drill of it was held yet.")))
        from backups.admin.drills import drill_verdict, drills_table

        rows = obj.drills.select_related("set__system", "recovery__job")[:10]
        return Record(drill_verdict(last), tables=[drills_table(rows, _("drills"))])

    def consequences(self, obj: DrillSchedule) -> list[str]:
        return [_("No drill is held by itself any more, unless another schedule says so; past ones stay.")]
