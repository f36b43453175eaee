"""Pages about what will be: what a set would contain, and the calendar of a system."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import calendar
from backups.models import Plan, Profile
from backups.takes import estimate
from drcenter import permissions
from drcenter.deadline import SECONDS
from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Fact, Notice, Table, Tone, Verdict
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.systems.models import System


class Looking(ActPage):
    """Looks at sources, which takes a moment, and shows on the same page what was found. Changes nothing."""

    permission = permissions.RUN_PLAN
    action = "backup.estimate"
    template = "panel/estimate.html"

    def submit_label(self) -> str:
        return _("Look now")

    def steps(self) -> list[str]:
        return [
            _(
                "Every source is looked at. Nothing is read from it but its size and its names; nothing is stored."
            )
        ]

    def found(self, form: Any) -> estimate.Estimate:
        raise NotImplementedError

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        form = self.form_class(request.POST, **self.form_arguments())
        if not form.is_valid():
            return self._page(form)
        try:
            self.seen: estimate.Estimate | None = self.found(form)
        except OperationFailed as error:
            return self.failed(form, error)
        return self._page(form)

    def context(self, form: Any) -> dict[str, Any]:
        seen = getattr(self, "seen", None)
        if seen is None:
            return {**super().context(form), "tables": []}
        return {"facts": facts(seen), "steps": [], "notices": notices(seen), "tables": tables(seen)}


class PlanContents(Looking):
    row: Plan

    def title(self) -> str:
        return _("What a set will contain: %(plan)s") % {"plan": self.row}

    def found(self, form: Any) -> estimate.Estimate:
        return estimate.of_plan(self.row, SECONDS)


class ProfileForm(PanelForm):
    profile = forms.ModelChoiceField(
        Profile.objects.all(), label=gettext_lazy("Profile"), empty_label=None, to_field_name="slug"
    )


class SystemContents(Looking):
    form_class = ProfileForm
    row: System

    def title(self) -> str:
        return _("What a set will contain: %(system)s") % {"system": self.row}

    def found(self, form: Any) -> estimate.Estimate:
        return estimate.of_profile(self.row, form.cleaned_data["profile"], SECONDS)


def facts(seen: estimate.Estimate) -> list[Fact]:
    return [
        Fact(_("to read"), words.size(seen.plain)),
        Fact(_("about so much in each destination"), words.size(seen.stored)),
        *(Fact(_("destination"), name) for name, findings in seen.places if not findings),
    ]


def notices(seen: estimate.Estimate) -> list[Notice]:
    """What cannot be read comes first, then what would be incomplete, then what is missing."""
    found = [
        Notice(f"{line.source.name}: {line.problem.message}", line.problem.hint)
        for line in seen.lines
        if line.problem is not None
    ]
    told = [(line.source.name, finding) for line in seen.lines for finding in line.findings]
    told += [(name, finding) for name, findings in seen.places for finding in findings]
    found += [
        Notice(f"{name}: {finding.message}", finding.hint, Tone.BAD if finding.caps else Tone.WARN)
        for name, finding in sorted(told, key=lambda one: not one[1].caps)
    ]
    missing = _("No source has this tier: %(tier)s.")
    return found + [
        Notice(missing % {"tier": tier.label}, how, Tone.WARN) for tier, how in seen.missing.items()
    ]


def tables(seen: estimate.Estimate) -> list[Table]:
    rows = [
        [
            line.source.name,
            line.source.get_tier_display(),
            line.source.get_engine_display(),
            line.target,
            _size(line),
        ]
        for line in seen.lines
    ]
    columns = [_("source"), _("tier"), _("engine"), _("where"), _("size")]
    return [Table(_("sources"), columns, rows, _("No source has one of these tiers."))]


def _size(line: estimate.Line) -> Any:
    if line.problem is not None:
        return Verdict(_("cannot be read"), Tone.BAD, "error")
    return words.size(line.size)


class CalendarForm(PanelForm):
    tables = LinesField(
        label=gettext_lazy("Critical tables"),
        help_text=gettext_lazy(
            "One per line; they are backed up every 6 hours. Empty: those that the sources name as critical."
        ),
    )


class SetUpCalendar(ActPage):
    """One click for a new system: the plans of the usual calendar. What they take is shown before."""

    permission = "backups.add_plan"
    action = "backups.calendar.set_up"
    form_class = CalendarForm
    row: System

    def title(self) -> str:
        return _("Set up the calendar: %(system)s") % {"system": self.row}

    def submit_label(self) -> str:
        return _("Add these plans")

    def steps(self) -> list[str]:
        return [calendar.told(one) for one in calendar.foresee(self.row)]

    def facts(self) -> list[Fact]:
        return [Fact(_("time zone"), self.row.time_zone)]

    def perform(self, form: Any) -> str:
        plans = calendar.set_up(self.row, requested_by=self.actor, tables=form.cleaned_data["tables"])
        names = ", ".join(plan.name for plan in plans) or _("none")
        messages.success(self.request, _("Plans added by the calendar: %(names)s.") % {"names": names})
        return address(self.row)
