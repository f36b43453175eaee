"""Copies to other destinations, asked for by a person."""

from typing import Any

from django import forms
from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.places import destination_target
from backups.models import Copy, Destination, Plan, Set
from backups.places import copies
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Fact
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm


def steps() -> list[str]:
    return [
        _("Copy the stored bytes from the best copy that can be read; no identity is needed."),
        _(
            "Check every digest on the way, and as the destination gives the bytes back; write the manifest last."
        ),
    ]


class CopyForm(PanelForm):
    destination = forms.ModelChoiceField(
        label=gettext_lazy("Destination"), queryset=Destination.objects.none()
    )

    def __init__(self, *args: Any, row: Set, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        there = row.copies.filter(state__in=[Copy.State.COMPLETE, Copy.State.WRITING, Copy.State.REMOVING])
        field = self.fields["destination"]
        field.queryset = Destination.objects.filter(enabled=True).exclude(copies__in=there)  # type: ignore[attr-defined]
        self.dress()


class CopyTo(ActPage):
    """On a set."""

    permission = permissions.COPY_SET
    action = "backups.copy.request"
    form_class = CopyForm
    row: Set

    def title(self) -> str:
        return _("Copy to another destination: %(set)s") % {"set": self.row}

    def submit_label(self) -> str:
        return _("Copy now")

    def form_arguments(self) -> dict[str, Any]:
        return {"row": self.row}

    def facts(self) -> list[Fact]:
        return [
            Fact(_("moment"), words.when_and_ago(self.row.moment)),
            Fact(_("stored size"), words.size(self.row.stored_size or None)),
        ]

    def steps(self) -> list[str]:
        return steps()

    def perform(self, form: Any) -> str:
        copies.request(self.row, form.cleaned_data["destination"], requested_by=self.actor)
        messages.success(self.request, _("The copy was requested."))
        return address(self.row)


class NewestForm(PanelForm):
    count = forms.IntegerField(
        label=gettext_lazy("How many of each plan"), initial=1, min_value=1, max_value=1000
    )


class BringNewest(ActPage):
    """On a destination: the newest good sets of the plans that keep theirs there."""

    permission = permissions.COPY_SET
    action = "backups.copy.request"
    form_class = NewestForm
    row: Destination

    def title(self) -> str:
        return _("Bring the newest good sets to %(destination)s") % {"destination": self.row}

    def submit_label(self) -> str:
        return _("Copy now")

    def plans(self) -> list[Plan]:
        return list(self.row.plans.select_related("system"))

    def facts(self) -> list[Fact]:
        return [
            Fact(_("plans"), ", ".join(map(str, self.plans())) or _("none")),
            Fact(_("where"), destination_target(self.row), code=True),
        ]

    def steps(self) -> list[str]:
        return steps()

    def perform(self, form: Any) -> str:
        count = form.cleaned_data["count"]
        wanted = [
            copy
            for plan in self.plans()
            for copy in copies.request_newest(plan, self.row, count, requested_by=self.actor)
        ]
        if not wanted:
            raise OperationFailed(
                _("They are there already, or no plan with a good set keeps its sets there.")
            )
        messages.success(self.request, _("The copies were requested."))
        return address(self.row)
