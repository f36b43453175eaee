"""What broken-off runs left at a destination: looked for once a day, shown, and removed when a person says so."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from backups.admin.places import destination_target
from backups.keep import sweep
from backups.models import Destination
from drcenter import permissions
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Table
from drcenter.panel.pages import address

SHOWN = 50


class Look(ActPage):
    permission = permissions.SWEEP_DESTINATION
    action = f"{sweep.LOOK}.requested"
    asks = False
    row: Destination

    def perform(self, form: Any) -> str:
        job = sweep.request(self.row, kind=sweep.LOOK, requested_by=self.actor)
        messages.success(self.request, _("The look was requested."))
        return address(job)


class Sweep(ActPage):
    permission = permissions.SWEEP_DESTINATION
    action = f"{sweep.KIND}.requested"
    dangerous = True
    row: Destination

    def title(self) -> str:
        return _("Remove leftovers: %(destination)s") % {"destination": self.row}

    def submit_label(self) -> str:
        return _("Remove them")

    def facts(self) -> list[Fact]:
        return [
            Fact(_("where"), destination_target(self.row)),
            Fact(_("leftovers"), self.row.leftovers.filter(kept_because="").count()),
        ]

    def steps(self) -> list[str]:
        rows = self.row.leftovers.filter(kept_because="")
        return [_("Remove %(prefix)s and all below it.") % {"prefix": row.prefix} for row in rows[:SHOWN]]

    def perform(self, form: Any) -> str:
        job = sweep.request(self.row, requested_by=self.actor)
        messages.success(self.request, _("The removal was requested."))
        return address(job)


PAGES = (("look", Look), ("sweep", Sweep))


def sweep_buttons(request: HttpRequest, row: Destination) -> list[Button]:
    if not permissions.may(request, permissions.SWEEP_DESTINATION):
        return []
    look = Button(_("Look for leftovers"), address(row, "look"), "search", post=True)
    if not row.leftovers.filter(kept_because="").exists():
        return [look]
    return [look, Button(_("Remove leftovers"), address(row, "sweep"), "cleaning_services", "risky")]


def leftovers_table(row: Destination) -> list[Table]:
    rows = [
        [
            one.prefix, one.objects_count, words.size(one.size), words.when(one.newest_at),
            _(one.kept_because) if one.kept_because else _("leftover"),
        ]
        for one in row.leftovers.all()[:SHOWN]
    ]  # fmt: skip
    columns = [_("name in storage"), _("objects"), _("size"), _("last written"), _("what it is")]
    return [Table(_("folders that are no set"), columns, rows)] if rows else []
