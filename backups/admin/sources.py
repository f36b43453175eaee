"""Sources: what can be dumped, with the options of its engine, and a look at it before the first backup."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups.admin.logs import SwitchOn, stream_button
from backups.admin.places import source_target
from backups.engines import engines
from backups.engines.base import Inspection
from backups.models import Set, Source
from drcenter.audit.record import record as audit
from drcenter.deadline import within
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Record, Tone, Verdict
from drcenter.panel.options import OptionsAdmin
from drcenter.panel.pages import PanelAdmin, address
from drcenter.permissions import may


class Look(ActPage):
    """Looks at the source without changing anything, and says what would be in a dump."""

    permission = "backups.change_source"
    action = "source.look"
    asks = False

    def perform(self, form: Any) -> str:
        with transaction.atomic():
            audit(self.actor, self.action, self.row)
        tell(self.request, within(self.row.build().inspect))
        return address(self.row)


def fact_labels() -> dict[str, str]:
    """The facts of engines that tell a person something; the others are for the scratch place."""
    return {
        "entries": _("files and directories"),
        "tables": _("tables"),
        "journal_mode": _("journal mode"),
        "sqlite": "SQLite",
        "version": _("version"),
        "tool": _("tool"),
        "binlog": _("binary log"),
        "encoding": _("encoding"),
        "collate": _("collation"),
        "user": _("signed in as"),
        "standby": _("standby"),
        "root": _("read with all rights"),
        "branch": _("branch"),
        "unpushed": _("commits that are nowhere else"),
        "lists": _("lists"),
        "missing": _("not on this machine"),
        "certificates": _("certificates, and when they expire"),
        "keys": _("keys"),
    }


def tell(request: HttpRequest, seen: Inspection) -> None:
    """What was found, as messages: the size and the facts, then each finding with its hint."""
    labels = fact_labels()
    told = [
        f"{labels[name]}: {words.yes_or_no(value) if isinstance(value, bool) else value}"
        for name, value in seen.facts.items()
        if name in labels and value not in (None, "")
    ]
    reached = _("Reached. About %(size)s in a dump.") % {"size": words.size(seen.size)}
    messages.success(request, f"{reached} {'; '.join(told)}{'.' if told else ''}".strip())
    for finding in seen.findings:
        level = messages.ERROR if finding.caps else messages.WARNING
        messages.add_message(request, level, f"{finding.message} {finding.hint}".strip())


@admin.register(Source)
class SourceAdmin(OptionsAdmin, PanelAdmin):
    plugin_field = "engine"
    own_fields = ("system", "name", "tier", "enabled")
    choose_title = gettext_lazy("What kind of source is it?")
    list_display = ("__str__", "engine_name", "tier", "target", "enabled")
    list_filter = ("system", "engine", "tier", "enabled")
    search_fields = ("name", "system__name", "system__slug")
    list_select_related = ("system",)
    empty_hint = gettext_lazy(
        "manage.py protect PATH_OR_URL finds the sources of an application; or add one by hand."
    )

    def plugins(self) -> Mapping[str, Any]:
        return engines()

    @display(description=gettext_lazy("engine"), ordering="engine")
    def engine_name(self, source: Source) -> str:
        return source.get_engine_display()

    @display(description=gettext_lazy("where"))
    def target(self, source: Source) -> str:
        return source_target(source)

    def get_urls(self) -> list[URLPattern]:
        look = self.admin_site.admin_view(Look.as_view(model_admin=self))
        stream = self.admin_site.admin_view(SwitchOn.as_view(model_admin=self))
        return [
            path("<int:pk>/look/", look, name="backups_source_look"),
            path("<int:pk>/stream/", stream, name="backups_source_stream"),
            *super().get_urls(),
        ]

    def obstacles(self, obj: Source) -> list[str]:
        # A plan without any source would be kept, and fail.
        alone = [str(plan) for plan in obj.taken_by() if plan.chosen().exclude(pk=obj.pk).count() == 0]
        if not alone:
            return []
        return [
            _("It is the only source of %(plans)s: delete the plan first, or give it another source.")
            % {"plans": ", ".join(alone)}
        ]

    def consequences(self, obj: Source) -> list[str]:
        plans = ", ".join(map(str, obj.taken_by()))
        count = Set.objects.complete().filter(parts__source=obj).distinct().count()
        kept = ngettext(
            "%(count)d set holds its data and stays, but the panel cannot restore them any more: "
            "only restore.sh, which lies in the set, can.",
            "%(count)d sets hold its data and stay, but the panel cannot restore them any more: "
            "only restore.sh, which lies in each set, can.",
            count,
        )
        return [
            *([_("It is backed up no longer by: %(plans)s.") % {"plans": plans}] if plans else []),
            *([kept % {"count": count}] if count else []),
            _("What is backed up is not touched: %(target)s.") % {"target": source_target(obj)},
        ]

    def record(self, request: HttpRequest, obj: Source) -> Record:
        plans = list(map(str, obj.taken_by()))
        sentence = ", ".join(plans) if plans else _("No plan backs it up: choose it on the page of a plan.")
        tone, icon = (Tone.IDLE, "database") if plans else (Tone.WARN, "warning")
        look = [Button(_("Look"), address(obj, "look"), "visibility", post=True)]
        buttons = [*(look if may(request, Look.permission) else []), *stream_button(request, obj)]
        return Record(Verdict(source_target(obj), tone, icon, sentence), buttons=buttons)
