"""Chooses the targets of a system from usual ones; single figures are changed on its page."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.exposure import CHANGE_TARGETS
from drcenter.audit.record import record
from drcenter.panel.acts import ActPage
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.systems.models import System, Target
from drcenter.systems.proposals import PROPOSALS


class TargetsForm(PanelForm):
    proposal = forms.ChoiceField(
        label=gettext_lazy("How fast, and how much may be lost?"), widget=forms.RadioSelect,
        choices=[(key, one.label) for key, one in PROPOSALS.items()], initial="classes",
        help_text=gettext_lazy("The present ones are replaced; each figure can be changed below, on the system's page."),
    )  # fmt: skip


class ChooseTargets(ActPage):
    permission = CHANGE_TARGETS
    action = "system.choose_targets"
    form_class = TargetsForm
    row: System

    def title(self) -> str:
        return _("Choose targets: %(system)s") % {"system": self.row.name}

    def submit_label(self) -> str:
        return _("Choose")

    def perform(self, form: Any) -> str:
        chosen = form.cleaned_data["proposal"]
        with transaction.atomic():
            for name, (rto, rpo) in PROPOSALS[chosen].targets.items():
                Target.objects.update_or_create(
                    system=self.row, data_class=name, defaults={"rto_minutes": rto, "rpo_minutes": rpo}
                )
            record(self.actor, "system.targets_chosen", self.row, proposal=chosen)
        messages.success(self.request, _("The targets were chosen."))
        return address(self.row)
