"""Begins a recovery into production that was approved."""

from typing import Any, ClassVar

from django.contrib import messages
from django.utils.translation import gettext as _

from backups.admin.approvals import RecoveryAct
from backups.admin.identity import IdentityField
from backups.admin.planned import lost_notice
from backups.models import Recovery, Set
from backups.recovery import begin, kinds
from drcenter import permissions
from drcenter.panel.look import Notice
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm


class BeginForm(PanelForm):
    """The identity, where the set is encrypted; it goes to the worker's memory and nowhere else."""

    def __init__(self, *args: Any, row: Set, reads_set: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if row.encrypted and reads_set:
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
        return {"row": self.row.copy.set, "reads_set": kinds.of(self.row).reads_set}

    def notices(self) -> list[Notice]:
        return lost_notice(self.row)

    def perform(self, form: Any) -> str:
        begin.begin(self.row, actor=self.actor, identity=form.cleaned_data.get("identity"), act=self.act)
        messages.success(self.request, _("It begins."))
        return address(self.row)
