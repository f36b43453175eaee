"""Pinning a set, and letting it go again, in the panel."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.keep import pins
from backups.models import Pin, Set
from drcenter import permissions
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Notice, Table, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.stored import shown


class ReasonForm(PanelForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=300,
        help_text=gettext_lazy("The audit trail keeps it, with your name."),
    )  # fmt: skip


class OfSet(ActPage):
    row: Set
    permission = permissions.PIN_SET
    form_class = ReasonForm

    def facts(self) -> list[Fact]:
        return [
            Fact(_("system"), self.row.system.name),
            Fact(_("moment"), words.when_and_ago(self.row.moment)),
            Fact(_("size"), words.size(self.row.stored_size)),
        ]


class PinSet(OfSet):
    action = "backups.set.pinned"

    def title(self) -> str:
        return _("Pin: %(set)s") % {"set": self.row}

    def submit_label(self) -> str:
        return _("Keep it")

    def steps(self) -> list[str]:
        return [
            _("The set stays, and what it needs, until somebody unpins it."),
            _("The pin is written beside every copy: a rebuilt catalogue finds it again."),
        ]

    def perform(self, form: Any) -> str:
        pins.pin(self.row, reason=form.cleaned_data["reason"], actor=self.actor)
        messages.success(self.request, _("It stays."))
        return address(self.row)


class UnpinSet(OfSet):
    action = "backups.set.unpinned"
    dangerous = True

    def title(self) -> str:
        return _("Unpin: %(set)s") % {"set": self.row}

    def submit_label(self) -> str:
        return _("Unpin")

    def steps(self) -> list[str]:
        return [_("The rules of its plan decide again: it may be removed with the next run.")]

    def perform(self, form: Any) -> str:
        pins.release(self.row, reason=form.cleaned_data["reason"], actor=self.actor)
        messages.success(self.request, _("The rules decide again."))
        return address(self.row)


PAGES = (("pin", PinSet), ("unpin", UnpinSet))


def pin_button(request: HttpRequest, row: Set) -> list[Button]:
    if row.state != Set.State.COMPLETE or not permissions.may(request, permissions.PIN_SET):
        return []
    if pins.pinned(row) is not None:
        return [Button(_("Unpin"), address(row, "unpin"), "keep_off")]
    return [Button(_("Pin"), address(row, "pin"), "keep")]


def pin_notices(row: Set) -> list[Notice]:
    found = pins.pinned(row)
    if found is None:
        return []
    return [Notice(_("Pinned: it stays, whatever the rules say."), shown(found.reason), Tone.FAIR)]


def pins_table(row: Set) -> list[Table]:
    found = list(row.pins.all())
    rows = [[words.when(one.pinned_at), one.pinned_by, shown(one.reason), _ended(one)] for one in found]
    columns = [_("pinned at"), _("pinned by"), _("reason"), _("released")]
    return [Table(_("pins"), columns, rows)] if rows else []


def _ended(one: Pin) -> str:
    if one.released_at is None:
        return words.NOTHING
    return f"{one.released_at:%Y-%m-%d}: {one.release_reason} ({one.released_by})"
