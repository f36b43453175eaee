"""Destinations: places that keep sets, with the options of their kind, and a test that writes and reads."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups.admin.copying import BringNewest
from backups.admin.leftovers import PAGES, leftovers_table, sweep_buttons
from backups.admin.places import destination_target
from backups.admin.rebuilds import RebuildCatalog
from backups.admin.verdicts import canary_verdict
from backups.destinations import destinations
from backups.models import Copy, Destination
from backups.places import copies, trial_job
from drcenter.errors import OperationFailed
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Notice, Record, Table, Tone, Verdict
from drcenter.panel.options import OptionsAdmin, OptionsForm
from drcenter.panel.pages import PanelAdmin, address
from drcenter.permissions import may
from drcenter.stored import shown


class Check(ActPage):
    """Has a worker do what production does there, in small; leads to the job, which shows each step."""

    permission = "backups.change_destination"
    action = "destination.check.request"
    asks = False

    def perform(self, form: Any) -> str:
        return address(trial_job.request(self.row, requested_by=self.actor))


class DestinationForm(OptionsForm):
    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not self.errors:
            try:
                self.plugin(self.instance.options).prepare()
            except OperationFailed as error:
                self.add_error(None, str(error))
        return data


@admin.register(Destination)
class DestinationAdmin(OptionsAdmin, PanelAdmin):
    plugin_field = "kind"
    options_form = DestinationForm
    own_fields = ("name", "enabled", "medium", "off_site")
    choose_title = gettext_lazy("Where shall sets be kept?")
    list_display = ("name", "kind_name", "target", "enabled")
    list_filter = ("kind", "enabled")
    search_fields = ("name",)
    empty_hint = gettext_lazy("A backup on the machine that breaks is none: add a place elsewhere, too.")

    def plugins(self) -> Mapping[str, Any]:
        return destinations()

    @display(description=gettext_lazy("kind"), ordering="kind")
    def kind_name(self, destination: Destination) -> str:
        return destination.get_kind_display()

    @display(description=gettext_lazy("where"))
    def target(self, destination: Destination) -> str:
        return destination_target(destination)

    def get_urls(self) -> list[URLPattern]:
        pages = (("check", Check), ("rebuild", RebuildCatalog), ("newest", BringNewest), *PAGES)
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"backups_destination_{name}",
            )
            for name, page in pages
        ]
        return [*own, *super().get_urls()]

    def obstacles(self, obj: Destination) -> list[str]:
        count = obj.copies.count()
        if not count:
            return []
        kept = ngettext("%(count)d copy is recorded here.", "%(count)d copies are recorded here.", count)
        return [
            f"{kept % {'count': count}} "
            + _("Without it nobody could find them. Switch it off instead: nothing new goes there then.")
        ]

    def consequences(self, obj: Destination) -> list[str]:
        plans = ", ".join(str(plan) for plan in obj.plans.select_related("system"))
        return [
            *(
                [_("These plans store nothing there any more: %(plans)s.") % {"plans": plans}]
                if plans
                else []
            ),
            _("What lies there is not touched: %(target)s.") % {"target": destination_target(obj)},
        ]

    def record(self, request: HttpRequest, obj: Destination) -> Record:
        complete = obj.copies.filter(state=Copy.State.COMPLETE).count()
        facts = [Fact(_("complete copies"), complete), *_space(obj), *_locks(obj)]
        damaged = obj.copies.filter(state=Copy.State.DAMAGED).count()
        verdict = Verdict(destination_target(obj), Tone.IDLE, "hard_drive")
        if damaged:
            verdict = Verdict(
                destination_target(obj), Tone.BAD, "broken_image",
                ngettext("%(count)d damaged copy lies here.", "%(count)d damaged copies lie here.", damaged)
                % {"count": damaged},
            )  # fmt: skip
        return Record(
            verdict,
            facts=[*facts, *_waiting(obj)],
            notices=[Notice(obj.fault, tone=Tone.WARN)] if obj.fault else [],
            buttons=[*_buttons(request, obj), *sweep_buttons(request, obj)],
            tables=[*_last_trial(obj), *leftovers_table(obj)],
        )


def _buttons(request: HttpRequest, row: Destination) -> list[Button]:
    buttons = (
        (Check, Button(_("Test"), address(row, "check"), "network_check", post=True)),
        (BringNewest, Button(_("Bring the newest sets"), address(row, "newest"), "content_copy")),
        (RebuildCatalog, Button(_("Rebuild the catalogue"), address(row, "rebuild"), "manage_search")),
    )
    return [button for page, button in buttons if may(request, page.permission)]


def _waiting(row: Destination) -> list[Fact]:
    """What it lacks, and when it is tried again."""
    count = copies.missing(row).distinct().count()
    facts = [Fact(_("copies that it lacks"), count)] if count else []
    return facts + ([Fact(_("tried again at"), words.when(row.retry_at))] if row.retry_at else [])


def _last_trial(destination: Destination) -> list[Table]:
    """The steps of the last connection test."""
    last = getattr(destination, "trial", None)
    if last is None:
        return []
    rows = [
        [
            shown(step["name"]),
            Verdict(_("works"), Tone.GOOD, "check_circle")
            if step["ok"]
            else Verdict(_("failed"), Tone.BAD, "error"),
            words.duration(step["seconds"]),
            " ".join(filter(None, (shown(step["message"]), shown(step["hint"])))),
        ]
        for step in last.steps
    ]
    title = _("last test, %(when)s") % {"when": words.ago(last.ended_at)}
    return [Table(title, [_("step"), _("result"), _("took"), _("message")], rows)]


def _locks(destination: Destination) -> list[Fact]:
    """What copies are locked for, and whether the last delete of a locked object was refused."""
    if not destination.lock_days:
        return []
    days = Fact(
        _("copies are locked for"),
        ngettext("%(days)d day", "%(days)d days", destination.lock_days) % {"days": destination.lock_days},
    )
    canary = getattr(destination, "canary", None)
    if canary is None:
        return [days]
    last = Fact(_("last refused"), words.when_and_ago(canary.refused_at))
    return [days, Fact(_("canary"), canary_verdict(canary)), *([last] if canary.refused_at else [])]


def _space(destination: Destination) -> list[Fact]:
    """Only of local places: a page does not wait for a network."""
    if destination.kind != "local":
        return []
    try:
        space = destination.build().space()
    except OperationFailed as error:
        return [Fact(_("space"), error.message)]
    if space.total is None:
        return []
    sentence = _("%(free)s of %(total)s free") % {
        "free": words.size(space.free),
        "total": words.size(space.total),
    }
    return [Fact(_("space"), sentence)]
