"""Begins a recovery into production that was approved."""

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.utils.translation import gettext as _

from backups.admin.approvals import RecoveryAct
from backups.admin.identity import IdentityField
from backups.admin.planned import lost_notice
from backups.models import Recovery, Set
from backups.recovery import approval, begin
from drcenter import permissions
from drcenter.panel.look import Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.stored import shown


class BeginForm(PanelForm):
    """The identity, where the set is encrypted; it goes to the worker's memory and nowhere else."""

    def __init__(self, *args: Any, row: Set | None, still: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if still:
            self.fields["still"] = forms.BooleanField(
                label=_("Nobody has started the application since"),
                help_text=_("What was stopped or saved already is not stopped or saved again."),
            )
            self.dress()
        if row is not None and row.encrypted:
            self.fields["identity"] = IdentityField().for_set(row)
            self.dress()


class Begin(RecoveryAct):
    permission = permissions.RESTORE_PRODUCTION
    action = "recovery.begin"
    form_class = BeginForm
    dangerous = True
    act: ClassVar[str] = Recovery.Act.RUN

    def title(self) -> str:
        return _("Begin: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Overwrite production now")

    def form_arguments(self) -> dict[str, Any]:
        return {
            "row": begin.opened_by(self.row, self.act),
            "still": self.act == Recovery.Act.RESUME,
        }

    def notices(self) -> list[Notice]:
        return lost_notice(self.row)

    def perform(self, form: Any) -> str:
        begin.begin(self.row, actor=self.actor, identity=form.cleaned_data.get("identity"), act=self.act)
        messages.success(self.request, _("It begins."))
        return address(self.row)


class Resume(Begin):
    action = "recovery.resume"
    act = Recovery.Act.RESUME

    def title(self) -> str:
        return _("Resume: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Go on where it broke off")

    def notices(self) -> list[Notice]:
        return [_where(self.row), *changed(self.row)]

    def steps(self) -> list[str]:
        return [
            _("Everything is checked again: the approval, the plan, every part of the set."),
            _(
                "What was done is not done again. A source that is half overwritten is overwritten from the beginning."
            ),
            _(
                "If a step fails: put the safety set back and start the application, or leave it stopped and say so."
            ),
        ]


class Undo(Begin):
    action = "recovery.undo"
    act = Recovery.Act.UNDO

    def title(self) -> str:
        return _("Undo: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Put back what was there before")

    def notices(self) -> list[Notice]:
        return [_where(self.row), *changed(self.row)]

    def steps(self) -> list[str]:
        safety = self.row.safety_set
        first = (
            _("Put the safety set back over what was overwritten: %(set)s.") % {"set": safety}
            if safety is not None
            else _("There is no safety set: only the application is started, if nothing was overwritten.")
        )
        return [first, _("Start the application.")]


class PlanAgain(RecoveryAct):
    """What was to be cured was part of the plan: it is written down as things are now, and approved again."""

    permission = permissions.RESTORE_PRODUCTION
    action = "recovery.plan_again"

    def title(self) -> str:
        return _("Plan again: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Write the plan down as it is now")

    def notices(self) -> list[Notice]:
        return changed(self.row)

    def perform(self, form: Any) -> str:
        approval.renew(self.row, actor=self.actor)
        messages.success(
            self.request, _("The plan is written down. Another person approves it, then it can begin.")
        )
        return address(self.row)


def _where(row: Recovery) -> Notice:
    last = row.steps[-1] if row.steps else None
    text = f"{shown(last['step'])}: {shown(last['target'])}" if last else _("before its first step")
    return Notice(_("It broke off at: %(step)s") % {"step": text}, tone=Tone.WARN)


def changed(row: Recovery) -> list[Notice]:
    """What differs from the plan that was approved: then it has to be planned again."""
    if not (found := approval.what_changed(row)):
        return []
    text = _("What would run has changed since it was written down: %(what)s.") % {"what": found}
    return [Notice(text, _("Plan it again, and have it approved again."), Tone.WARN)]
