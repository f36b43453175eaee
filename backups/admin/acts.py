"""What a person can have done about plans and copies, each with its page of confirmation."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import verify
from backups.admin.identity import IdentityField
from backups.admin.places import destination_target, source_target
from backups.admin.verdicts import copy_verdict
from backups.models import Copy, Level, Plan, Set
from backups.places import mending
from backups.takes import take
from drcenter import permissions
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Fact, Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm


class BackUpNow(ActPage):
    permission = permissions.RUN_PLAN
    action = "backup.request"
    row: Plan

    def title(self) -> str:
        return _("Back up now: %(plan)s") % {"plan": self.row}

    def submit_label(self) -> str:
        return _("Back up now")

    def facts(self) -> list[Fact]:
        plan = self.row
        return [
            Fact(_("system"), plan.system.name),
            Fact(_("verify up to"), plan.get_level_display()),
            Fact(_("encrypted"), words.yes_or_no(plan.encrypt)),
            *([Fact(_("only these tables"), ", ".join(plan.tables))] if plan.tables else []),
        ]

    def steps(self) -> list[str]:
        read = [
            _("Read %(name)s: %(target)s.") % {"name": source.name, "target": source_target(source)}
            for source in self.row.chosen()
        ]
        kept = [
            _("Store it at %(name)s: %(target)s.") % {"name": place.name, "target": destination_target(place)}
            for place in self.row.destinations.filter(enabled=True)
        ]
        last = {
            Level.PROVEN: _("Restore it into a scratch place, compare, and remove the scratch place."),
            Level.INTACT: _("Read it back and decode it."),
            Level.STORED: _("Compare the digests of what is stored."),
        }
        return [*read, *kept, last[Level(self.row.level)]]

    def notices(self) -> list[Notice]:
        if self.row.encrypt:
            return []
        return [unencrypted_notice()]

    def perform(self, form: Any) -> str:
        taken = take.request(self.row, reason=Set.Reason.MANUAL, requested_by=self.actor)
        messages.success(self.request, _("The backup was requested."))
        return address(taken)


def unencrypted_notice() -> Notice:
    return Notice(
        _("This plan does not encrypt."),
        _("Whoever can read the destination can read the data: passwords, customers, everything."),
        Tone.WARN,
    )


class CopyAct(ActPage):
    """An act on a copy; its page leads back to the set."""

    row: Copy

    def back(self) -> str:
        return address(self.row.set)

    def about_copy(self) -> list[Fact]:
        copy = self.row
        return [
            Fact(_("set"), str(copy.set)),
            Fact(_("moment"), words.when_and_ago(copy.set.moment)),
            Fact(_("level"), copy_verdict(copy)),
            Fact(_("from"), f"{copy.destination}: {destination_target(copy.destination)}"),
        ]

    def facts(self) -> list[Fact]:
        return self.about_copy()


class Mend(CopyAct):
    permission = permissions.VERIFY_SET
    action = "backups.mend.request"

    def title(self) -> str:
        return _("Write again what is damaged beside the data: %(copy)s") % {"copy": self.row}

    def submit_label(self) -> str:
        return _("Write again")

    def steps(self) -> list[str]:
        return [
            _(
                "Look for the bytes that were published and signed: in other copies, or made anew from the manifest."
            ),
            _("Write them in the place of: %(names)s. Nothing else of the copy is touched.")
            % {"names": ", ".join(self.row.spoiled) or _("nothing")},
        ]

    def perform(self, form: Any) -> str:
        job = mending.request(self.row, requested_by=self.actor)
        messages.success(self.request, _("It was requested."))
        return address(job)


class VerifyForm(PanelForm):
    level = forms.ChoiceField(
        label=gettext_lazy("Verify up to"),
        choices=Level.choices,
        initial=Level.PROVEN,
        widget=forms.RadioSelect,
        help_text=gettext_lazy(
            "Stored: digests at the destination. Intact: read back and decoded. "
            "Proven: restored into a scratch place and compared."
        ),
    )
    identity = IdentityField()

    def __init__(self, *args: Any, row: Set, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if row.encrypted:
            cast(IdentityField, self.fields["identity"]).for_set(row)
        else:
            del self.fields["identity"]


class Verify(CopyAct):
    permission = permissions.VERIFY_SET
    action = "verification.request"
    form_class = VerifyForm

    def title(self) -> str:
        return _("Verify: %(set)s") % {"set": self.row.set}

    def submit_label(self) -> str:
        return _("Verify")

    def form_arguments(self) -> dict[str, Any]:
        return {"row": self.row.set}

    def perform(self, form: Any) -> str:
        check = verify.request(
            self.row,
            form.cleaned_data["level"],
            requested_by=self.actor,
            identity=form.cleaned_data.get("identity"),
        )
        messages.success(self.request, _("The verification was requested."))
        return address(check)
