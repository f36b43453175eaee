"""The checklist on the page of a recovery."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.checklist import conduct
from backups.checklist.points import how, title
from backups.checklist.readings import told
from backups.models import CheckPoint, Recovery
from drcenter import permissions
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Table, Tone, Verdict
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may

LOOKS = {
    CheckPoint.State.OPEN: (Tone.WARN, "radio_button_unchecked"), CheckPoint.State.GOOD: (Tone.GOOD, "check_circle"),
    CheckPoint.State.BAD: (Tone.BAD, "error"), CheckPoint.State.NONE: (Tone.IDLE, "do_not_disturb_on"),
}  # fmt: skip


class ChecklistForm(PanelForm):
    """One field for each point, and a note for those that are changed."""

    def __init__(self, *args: Any, recovery: Recovery, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.points = list(recovery.points.all())
        for point in self.points:
            seen = told(point.measured)
            self.fields[point.key] = forms.ChoiceField(
                label=title(point.key), choices=CheckPoint.State.choices, initial=point.state,
                help_text=f"{_how(point)} {f'→ {seen}' if seen else ''}".strip(), widget=forms.Select,
            )  # fmt: skip
        self.fields["note"] = forms.CharField(
            label=gettext_lazy("Note"), required=False, max_length=500,
            help_text=gettext_lazy("Kept with each point that you change now."),
        )  # fmt: skip
        self.dress()


class Checklist(ActPage):
    permission = permissions.VERIFY_SET
    action = "recovery.checklist"
    form_class = ChecklistForm
    row: Recovery

    def title(self) -> str:
        return _("Checklist: %(recovery)s") % {"recovery": self.row}

    def submit_label(self) -> str:
        return _("Keep what I found")

    def form_arguments(self) -> dict[str, Any]:
        return {"recovery": self.row}

    def perform(self, form: Any) -> str:
        changed = [one for one in form.points if form.cleaned_data[one.key] != one.state]
        for point in changed:
            conduct.tick(
                self.row,
                point.key,
                form.cleaned_data[point.key],
                by=self.actor,
                note=form.cleaned_data["note"],
            )
        messages.success(self.request, _("%(count)d points were changed.") % {"count": len(changed)})
        return address(self.row)


class Measure(ActPage):
    """Has everything measured again that the product can measure."""

    permission = permissions.VERIFY_SET
    action = "recovery.measure"
    asks = False
    row: Recovery

    def perform(self, form: Any) -> str:
        conduct.request(self.row, requested_by=self.actor)
        messages.success(self.request, _("The points are being measured."))
        return address(self.row)


def buttons(request: HttpRequest, recovery: Recovery) -> list[Button]:
    if not recovery.points.exists() or not may(request, Checklist.permission):
        return []
    return [
        Button(_("Checklist"), address(recovery, "checklist"), "checklist", "primary"),
        Button(_("Measure again"), address(recovery, "measure"), "refresh", post=True),
    ]


def table(recovery: Recovery) -> list[Table]:
    rows = [
        [
            title(point.key),
            Verdict(str(point.get_state_display()), *LOOKS[CheckPoint.State(point.state)]),
            told(point.measured) or _how(point),
            point.by or (_("measured") if point.at else ""),
            words.when(point.at),
        ]
        for point in recovery.points.all()
    ]
    columns = [_("point"), _("state"), _("what was seen"), _("by"), _("at")]
    return [Table(_("Checklist after the restore"), columns, rows)] if rows else []


def open_points(recovery: Recovery) -> int:
    """How many wait for somebody, or are bad."""
    return recovery.points.filter(state__in=[CheckPoint.State.OPEN, CheckPoint.State.BAD]).count()


def _how(point: CheckPoint) -> str:
    return how(point.key, point.recovery.copy.set.moment, point.recovery.started_at)
