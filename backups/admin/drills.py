"""Drills: how each one went, its evidence to print, their course, and the page that asks for one."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups.admin.acts import CopyAct
from backups.admin.identity import IdentityField
from backups.drills import drill as drills
from backups.drills import evidence
from backups.drills.trend import Trend, trend
from backups.exposure_words import class_name
from backups.models import Drill, DrillCheck, Set
from backups.storage import publish
from drcenter import permissions
from drcenter.jobs.admin import cancel_button, waiting
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Table, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.panel.widgets import PanelForm
from drcenter.stored import shown
from drcenter.systems.models import System

OUTCOMES = {
    Drill.Outcome.OPEN: (Tone.BUSY, "progress_activity", gettext_lazy("The drill is being held.")),
    Drill.Outcome.PASSED: (
        Tone.GOOD, "verified", gettext_lazy("Restored, compared, checked: this is how it would come back."),
    ),
    Drill.Outcome.FAILED: (Tone.BAD, "error", gettext_lazy("A recovery would not have gone well.")),
    Drill.Outcome.SKIPPED: (
        Tone.BAD, "event_busy", gettext_lazy("It should have been held, and could not begin."),
    ),
    Drill.Outcome.CANCELLED: (Tone.IDLE, "stop_circle", gettext_lazy("It was stopped: it shows nothing.")),
}  # fmt: skip
# Drills of the chart.
COURSE = 20


def drill_verdict(row: Drill) -> Verdict:
    tone, icon, sentence = OUTCOMES[Drill.Outcome(row.outcome)]
    job = row.recovery.job if row.recovery else None
    return Verdict(row.get_outcome_display(), tone, icon, waiting(job) or str(sentence))


def achieved(seconds: float | None) -> str:
    return words.NOTHING if seconds is None else words.duration(seconds)


def drills_table(rows: Iterable[Drill], title: str) -> Table:
    lines = [
        [
            Link(words.ago(row.created_at), address(row)), drill_verdict(row), row.set and str(row.set),
            achieved(row.machine_seconds), achieved(row.lost_seconds), shown(row.message),
        ]
        for row in rows
    ]  # fmt: skip
    columns = [_("drill"), _("result"), _("set"), _("achieved RTO"), _("achieved RPO"), _("message")]
    return Table(title, columns, lines, _("No drill was ever held: nobody knows whether a recovery works."))


def drills_tables(system: System) -> list[Table]:
    """For the page of a system."""
    rows = system.drills.select_related("set__system", "recovery__job")[:5]
    return [drills_table(rows, _("drills"))]


def course(system: System) -> dict[str, Any] | None:
    """The chart of the last drills that were measured, in words too; None while there are fewer than two."""
    rows = list(
        system.drills.filter(machine_seconds__isnull=False).order_by("-pk").only("pk", "outcome", "machine_seconds")[:COURSE]
    )[::-1]  # fmt: skip
    target = min((one.rto_minutes * 60.0 for one in system.targets.all()), default=None)
    points = [(str(one.pk), one.machine_seconds or 0.0, one.outcome == Drill.Outcome.PASSED) for one in rows]
    chart = trend(points, target)
    if chart is None:
        return None
    return {"chart": chart, "title": _("achieved RTO, drill by drill"), "told": _told(chart, target)}


def _told(chart: Trend, target: float | None) -> str:
    """The chart for those who do not see it."""
    names = {
        "count": len(chart.marks), "first": words.duration(chart.marks[0].seconds),
        "last": words.duration(chart.marks[-1].seconds), "most": words.duration(max(one.seconds for one in chart.marks)),
    }  # fmt: skip
    text = _("%(count)d drills: first %(first)s, last %(last)s, longest %(most)s.") % names
    if target is None:
        return text
    promised = _("Promised: %(target)s.") % {"target": words.duration(target)}
    return f"{text} {promised}"


def drill_button(request: HttpRequest, system: System) -> list[Button]:
    """To the page that holds one, of the newest usable set."""
    newest: Set | None = (
        system.sets.newest_usable() if permissions.may(request, permissions.RUN_DRILL) else None
    )
    copy = newest.best_copy() if newest is not None else None
    return [Button(_("Hold a drill"), address(copy, "drill"), "fire_extinguisher")] if copy else []


class DrillForm(PanelForm):
    def __init__(self, *args: Any, row: Set, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if row.encrypted:
            self.fields["identity"] = IdentityField().for_set(row)
        self.dress()


class HoldDrill(CopyAct):
    permission = permissions.RUN_DRILL
    action = "drill.request"
    form_class = DrillForm

    def title(self) -> str:
        return _("Hold a drill: %(set)s") % {"set": self.row.set}

    def submit_label(self) -> str:
        return _("Hold the drill")

    def form_arguments(self) -> dict[str, Any]:
        return {"row": self.row.set}

    def steps(self) -> list[str]:
        checks = [
            _("Check %(name)s.") % {"name": one.name}
            for one in DrillCheck.objects.filter(system=self.row.set.system, enabled=True)
        ]
        return [
            _("Read every part of the copy at %(place)s and check it.") % {"place": self.row.destination},
            _("Restore every source into a scratch place that can reach nothing, and compare it."),
            _("Replay the stored log, where there is one, up to its newest moment."),
            *(
                checks
                or [_("The system has no checks of its own: add some, so that wrong content is found.")]
            ),
            _("Measure, sign the evidence, and remove the scratch places. Production is not touched."),
        ]

    def perform(self, form: Any) -> str:
        held = drills.request(self.row, requested_by=self.actor, identity=form.cleaned_data.get("identity"))
        messages.success(self.request, _("The drill was requested."))
        return address(held)


@admin.register(Drill)
class DrillAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "takes", "loses", "requested_by", "created_at")
    list_filter = ("outcome", "system")
    search_fields = ("system__slug", "message", "evidence_sha256")
    list_select_related = ("system", "recovery__job")
    empty_hint = gettext_lazy("No drill was ever held: open a system, and hold one.")

    @display(description=gettext_lazy("result"), ordering="outcome")
    def verdict(self, row: Drill) -> str:
        return badge(drill_verdict(row))

    @display(description=gettext_lazy("achieved RTO"), ordering="machine_seconds")
    def takes(self, row: Drill) -> str:
        return achieved(row.machine_seconds)

    @display(description=gettext_lazy("achieved RPO"), ordering="lost_seconds")
    def loses(self, row: Drill) -> str:
        return achieved(row.lost_seconds)

    def zone(self, obj: Drill) -> str:
        return obj.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/evidence/", view(self.evidence_view), name="backups_drill_evidence"),
            path("<int:pk>/evidence.json", view(self.text_view), name="backups_drill_text"),
            *super().get_urls(),
        ]

    def _seen(self, request: HttpRequest, pk: int) -> Drill:
        row: Drill | None = self.get_object(request, str(pk))
        if row is None or not row.evidence:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def evidence_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A page to print: what was shown, and how anybody checks that it was not changed."""
        row = self._seen(request, pk)
        context = {
            **self.admin_site.each_context(request), "title": _("Evidence of drill %(number)d") % {"number": row.pk},
            "opts": self.opts, "original": row, "row": row, "zone": row.system.time_zone, "facts": _facts(row),
            "tables": _tables(row), "verdict": drill_verdict(row), "holds": evidence.holds(row),
            "command": evidence.COMMAND.format(name=evidence.file_name(row)), "name": evidence.file_name(row),
            "public_key": publish.signing_key().public_pem if evidence.holds(row) is not None else "",
        }  # fmt: skip
        return TemplateResponse(request, "panel/evidence.html", context)

    def text_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The signed text, byte for byte, to save."""
        row = self._seen(request, pk)
        name = evidence.file_name(row)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(row.evidence.encode(), content_type="application/json", headers=headers)

    def record(self, request: HttpRequest, obj: Drill) -> Record:
        job = obj.recovery.job if obj.recovery else None
        buttons = [Button(_("Evidence"), address(obj, "evidence"), "contract")] if obj.evidence else []
        return Record(
            verdict=drill_verdict(obj),
            notices=_notices(obj),
            facts=_facts(obj),
            buttons=[*buttons, *cancel_button(request, job)],
            tables=_tables(obj),
            job=job,
            live=obj.outcome == Drill.Outcome.OPEN,
            extra={"trend": course(obj.system)},
        )


def _notices(row: Drill) -> list[Notice]:
    tone = Tone.BAD if row.outcome in {Drill.Outcome.FAILED, Drill.Outcome.SKIPPED} else Tone.WARN
    told = [Notice(row.message, row.hint, tone)] if row.message else []
    return [*told, *(Notice(text, tone=Tone.WARN) for text in row.reservations)]


def _facts(row: Drill) -> list[Fact]:
    facts = [
        Fact(_("system"), Link(row.system.name, address(row.system))),
        Fact(_("set"), Link(str(row.set), address(row.set)) if row.set else None),
        Fact(_("recovery"), Link(_("its steps"), address(row.recovery)) if row.recovery else None),
        Fact(_("requested by"), row.requested_by),
        Fact(_("planned time"), words.when(row.planned_at)),
        Fact(_("began"), words.when(row.started_at)),
        Fact(_("ended"), words.when(row.finished_at)),
        Fact(_("achieved RTO"), achieved(row.machine_seconds)),
        Fact(_("achieved RPO"), achieved(row.lost_seconds)),
        Fact(_("waited before it began"), achieved(row.waited_seconds)),
        Fact(_("SHA-256 of the evidence"), row.evidence_sha256, code=True),
        Fact(_("stored beside the set"), words.when(row.recorded_at)),
    ]
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def _tables(row: Drill) -> list[Table]:
    tables = []
    if row.classes:
        tables.append(_classes(row))
    if row.checks:
        lines = [
            [one["check"], _held(one["ok"]), shown(one["message"]), words.duration(one["seconds"])]
            for one in row.checks
        ]
        tables.append(Table(_("checks"), [_("check"), _("result"), _("found"), _("took")], lines))
    if row.sources:
        columns = [_("source"), _("restored in"), _("compared in"), _("moment")]
        tables.append(Table(_("sources"), columns, [_source(*pair) for pair in row.sources.items()]))
    if row.recovery and row.recovery.differences:
        differences = [[text] for text in row.recovery.differences]
        tables.append(Table(_("differences"), [_("what differs")], differences))
    return tables


def _source(name: str, told: dict[str, Any]) -> list[Any]:
    from datetime import datetime

    seconds = [words.duration(told.get(f"{what}_seconds")) for what in ("restore", "compare")]
    return [name, *seconds, words.when(datetime.fromisoformat(told["moment"]))]


def _classes(row: Drill) -> Table:
    lines = [
        [
            class_name(one["class"]), achieved(one["takes_seconds"]), _within(one["takes_seconds"], one["rto_seconds"]),
            achieved(one["lost_seconds"]), _within(one["lost_seconds"], one["rpo_seconds"]),
        ]
        for one in row.classes
    ]  # fmt: skip
    columns = [_("class"), _("achieved RTO"), _("RTO"), _("achieved RPO"), _("RPO")]
    return Table(_("against the targets"), columns, lines)


def _within(seconds: float, target: float | None) -> Verdict | str:
    if target is None:
        return _("no target")
    good = seconds <= target
    return Verdict(
        words.duration(target), Tone.GOOD if good else Tone.BAD, "check_circle" if good else "error"
    )


def _held(good: bool) -> Verdict:
    return Verdict(_("holds"), Tone.GOOD, "check") if good else Verdict(_("does not hold"), Tone.BAD, "close")
