"""Actions in the panel: prepared on a quiet day, run with one button, taken back with another."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from drcenter import permissions
from drcenter.deadline import within
from drcenter.errors import OperationFailed
from drcenter.jobs.admin import cancel_button
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Tone, Verdict
from drcenter.panel.options import OptionsAdmin
from drcenter.panel.pages import PanelAdmin, RecordAdmin, address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may
from drcenter.stored import shown
from incidents import run_action
from incidents.actions import actions
from incidents.actions.base import Context
from incidents.models import ActionRun, PreparedAction


class TypedForm(PanelForm):
    typed = forms.CharField(label=gettext_lazy("Key of the system"), required=False)


class RunNow(ActPage):
    """Looks, says what would be done, and does it once somebody has confirmed."""

    permission = permissions.RUN_ACTION
    action = "incidents.action.request"
    form_class = TypedForm
    dangerous = True
    row: PreparedAction

    def title(self) -> str:
        return _("Run: %(action)s") % {"action": self.row}

    def submit_label(self) -> str:
        return _("Run now")

    def facts(self) -> list[Fact]:
        return [
            Fact(_("what"), self.row.build().describe(), code=True),
            Fact(_("system"), f"{self.row.system} ({self.row.system.slug})"),
        ]

    def _looked(self) -> tuple[list[str], OperationFailed | None]:
        action, here = self.row.build(), Context(self.row.system, log=lambda _text: None)
        try:
            return within(lambda: action.foretell(action.look(here))), None
        except OperationFailed as error:
            return [], error

    def context(self, form: Any) -> dict[str, Any]:
        steps, fault = self._looked()
        notices = [] if fault is None else [Notice(shown(fault.message), shown(fault.hint))]
        if not self.row.build().reversible:
            notices.append(Notice(_("This cannot be taken back."), tone=Tone.WARN))
        return {"facts": self.facts(), "steps": steps, "notices": notices}

    def perform(self, form: Any) -> str:
        run = run_action.request(self.row, requested_by=self.actor, typed=form.cleaned_data["typed"])
        messages.success(self.request, _("The action was requested."))
        return address(run)


class TakeBack(ActPage):
    permission = permissions.RUN_ACTION
    action = "incidents.action.undo"
    dangerous = True
    row: ActionRun

    def title(self) -> str:
        return _("Take back: %(run)s") % {"run": self.row}

    def submit_label(self) -> str:
        return _("Take back now")

    def facts(self) -> list[Fact]:
        return [Fact(_("what"), self.row.build().describe(), code=True), *_before(self.row)]

    def steps(self) -> list[str]:
        return [_("What there was before it is given back, as far as the action can.")]

    def perform(self, form: Any) -> str:
        back = run_action.request_undo(self.row, requested_by=self.actor)
        messages.success(self.request, _("The action was requested."))
        return address(back)


@admin.register(PreparedAction)
class PreparedActionAdmin(OptionsAdmin, PanelAdmin):
    plugin_field = "kind"
    own_fields = ("system", "name")
    choose_title = gettext_lazy("What is to be done?")
    list_display = ("__str__", "what", "last")
    list_filter = ("system", "kind")
    list_select_related = ("system",)
    search_fields = ("name", "system__name", "system__slug")
    empty_hint = gettext_lazy(
        "Prepare what may have to be done in a bad night: roll back a release, promote the standby, lead a name elsewhere."
    )

    def plugins(self) -> Mapping[str, Any]:
        return actions()

    @display(description=gettext_lazy("what"))
    def what(self, row: PreparedAction) -> str:
        return row.build().describe()

    @display(description=gettext_lazy("last run"))
    def last(self, row: PreparedAction) -> str:
        last = row.runs.first()
        return badge(run_verdict(last)) if last is not None else words.NOTHING

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(RunNow.as_view(model_admin=self))
        return [path("<int:pk>/run/", page, name="incidents_preparedaction_run"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: PreparedAction) -> Record:
        last = obj.runs.first()
        verdict = run_verdict(last) if last is not None else Verdict(_("never run"), Tone.IDLE, "bolt")
        facts = [Fact(_("what"), obj.build().describe(), code=True)]
        if last is not None:
            facts.append(Fact(_("last run"), Link(str(last), address(last))))
        buttons = [Button(_("Look, then run"), address(obj, "run"), "bolt", "primary")]
        return Record(verdict, facts=facts, buttons=buttons if may(request, RunNow.permission) else [])


@admin.register(ActionRun)
class ActionRunAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "requested_by", "created_at")
    list_filter = ("state", "system")
    list_select_related = ("system",)
    empty_hint = gettext_lazy("Nothing was run yet: an action is run on its own page.")

    @display(description=gettext_lazy("result"))
    def verdict(self, row: ActionRun) -> str:
        return badge(run_verdict(row))

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(TakeBack.as_view(model_admin=self))
        return [path("<int:pk>/undo/", page, name="incidents_actionrun_undo"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: ActionRun) -> Record:
        took = obj.finished_at - obj.started_at if obj.finished_at and obj.started_at else None
        facts = [
            Fact(_("what"), obj.build().describe(), code=True),
            Fact(_("takes back"), Link(str(obj.undoes), address(obj.undoes)) if obj.undoes else None),
            Fact(_("requested by"), obj.requested_by),
            Fact(_("requested at"), words.when_and_ago(obj.created_at)),
            Fact(_("took"), words.duration(took.total_seconds()) if took else None),
            Fact(_("measured afterwards"), shown(obj.measured) or None),
            *_before(obj),
        ]
        undo = [Button(_("Take back"), address(obj, "undo"), "undo")]
        return Record(
            verdict=run_verdict(obj),
            notices=[Notice(shown(obj.message), shown(obj.hint))] if obj.message else [],
            facts=[fact for fact in facts if fact.value not in (None, "")],
            buttons=[
                *(undo if obj.can_be_undone and may(request, TakeBack.permission) else []),
                *cancel_button(request, obj.job),
            ],
            job=obj.job,
            live=obj.job is not None and obj.job.is_open,
        )


def _before(run: ActionRun) -> list[Fact]:
    """What `look` found, as facts."""
    return [Fact(name, ", ".join(map(str, value)) if isinstance(value, list) else value, code=True)
            for name, value in (run.before or {}).items() if value not in (None, "", [])]  # fmt: skip


def run_verdict(run: ActionRun) -> Verdict:
    state = ActionRun.State(run.state)
    looks = {
        ActionRun.State.WAITING: (Tone.IDLE, "schedule"), ActionRun.State.RUNNING: (Tone.BUSY, "progress_activity"),
        ActionRun.State.SUCCEEDED: (Tone.GOOD, "check_circle"), ActionRun.State.CANCELLED: (Tone.WARN, "cancel"),
    }  # fmt: skip
    return Verdict(str(state.label), *looks.get(state, (Tone.BAD, "error")))
