"""The page of a restore: how every step went, and what is true now."""

from dataclasses import replace
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups.admin import checklist, planned, rewinds
from backups.admin.approvals import Approve, BreakGlass, Refuse, Review
from backups.admin.beginning import Begin, PlanAgain, Resume, Undo
from backups.admin.verdicts import recovery_verdict
from backups.models import Recovery, RowChange
from backups.recovery import beside, contents
from drcenter.errors import OperationFailed
from drcenter.jobs.admin import cancel_button, outcome
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Fact, Link, Record, Table, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.stored import shown


@admin.register(Recovery)
class RecoveryAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "mode", "requested_by", "created_at")
    list_filter = ("state", "place", "mode", "copy__set__system")
    search_fields = ("copy__set__identifier", "requested_by", "message")
    list_select_related = ("copy__set__system",)
    empty_hint = gettext_lazy(
        "Nothing was restored yet: open a set, and restore it beside the original once."
    )

    @display(description=gettext_lazy("result"), ordering="state")
    def verdict(self, row: Recovery) -> str:
        return badge(recovery_verdict(row))

    def zone(self, obj: Recovery) -> str:
        return obj.copy.set.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "approve": Approve, "refuse": Refuse, "break_glass": BreakGlass, "review": Review, "begin": Begin,
            "resume": Resume, "undo": Undo, "plan_again": PlanAgain,
            "checklist": checklist.Checklist, "measure": checklist.Measure,
            "keep_as_set": rewinds.KeepAsSet, "end_look": rewinds.EndLook,
        }  # fmt: skip
        site = self.admin_site
        return [
            *(
                path(
                    f"<int:pk>/{name.replace('_', '-')}/", site.admin_view(page.as_view(model_admin=self)),
                    name=f"backups_recovery_{name}",
                )
                for name, page in pages.items()
            ),
            *super().get_urls(),
        ]  # fmt: skip

    def record(self, request: HttpRequest, obj: Recovery) -> Record:
        waits = obj.state in planned.PLANNED
        return Record(
            verdict=recovery_verdict(obj),
            notices=[*outcome(obj), *planned.notices(obj), *rewinds.notices(obj)],
            facts=[*rewinds.facts(obj), *_facts(obj)],
            buttons=[
                *cancel_button(request, obj.job),
                *planned.buttons(request, obj),
                *checklist.buttons(request, obj),
                *rewinds.buttons(request, obj),
            ],
            tables=[
                *checklist.table(obj),
                *planned.steps_table(obj),
                *planned.approvals_table(obj),
                *_tables(obj),
                *rewinds.tables(obj),
            ],
            job=obj.job,
            live=waits or (obj.job is not None and obj.job.is_open),
        )


def _facts(row: Recovery) -> list[Fact]:
    took = (row.finished_at - row.started_at).total_seconds() if row.started_at and row.finished_at else None
    sources = ", ".join(source.name for source in row.sources.all()) or _("all")
    safety = Link(str(row.safety_set), address(row.safety_set)) if row.safety_set else None
    facts = [
        Fact(_("set"), Link(str(row.copy.set), address(row.copy.set))),
        Fact(_("from"), Link(str(row.copy.destination), address(row.copy))),
        Fact(_("moment"), words.when(row.copy.set.moment)),
        Fact(_("place"), row.get_place_display()),
        Fact(_("mode"), row.get_mode_display()),
        Fact(_("sources"), sources),
        Fact(_("host as typed"), row.typed_host),
        Fact(_("safety set"), safety),
        Fact(_("requested by"), row.requested_by),
        Fact(_("requested at"), words.when(row.created_at)),
        Fact(_("reason"), row.reason),
        Fact(_("statements"), Link(str(change), address(change)) if (change := _rows_of(row)) else None),
        Fact(_("digest of the plan"), contents.fingerprint(row.digest) if row.digest else "", code=True),
        Fact(_("took"), words.duration(took)),
        Fact(_("job"), Link(str(row.job), address(row.job)) if row.job else None),
    ]
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def _rows_of(row: Recovery) -> RowChange | None:
    """The statements of a recovery of rows: whoever approves it reads them there."""
    return RowChange.objects.filter(recovery=row).select_related("comparison__copy__set__system").first()


def _tables(row: Recovery) -> list[Table]:
    tables = []
    if row.names:
        tables.append(
            Table(
                _("names beside"),
                [_("source"), _("new place")],
                [list(pair) for pair in _places(row).items()],
            )
        )
    if row.steps:
        columns = [_("step"), _("where"), _("took"), _("result"), _("message")]
        tables.append(
            Table(_("steps"), columns, [_step(step, row, times) for step, times in folded(row.steps)])
        )
    if row.differences:
        tables.append(Table(_("differences"), [_("what differs")], [[text] for text in row.differences]))
    if row.counts:
        rows = [
            [source, table, count]
            for source, counted in row.counts.items()
            for table, count in (counted.items() if isinstance(counted, dict) else [("", counted)])
        ]
        tables.append(Table(_("rows after the restore"), [_("source"), _("table"), _("rows")], rows))
    return tables


def _places(row: Recovery) -> dict[str, str]:
    """With the whole path, while the source is what it was."""
    try:
        return {**row.names, **beside.targets(row)}
    except OperationFailed:
        return dict(row.names)


def folded(steps: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """The steps, where several in a row are the same but for their times as one: with all their seconds, and how many."""
    found = []
    for _same, group in groupby(steps, key=lambda one: {**one, "at": None, "seconds": None}):
        rows = list(group)
        seconds = [row["seconds"] for row in rows if row.get("seconds") is not None]
        found.append(({**rows[-1], "seconds": sum(seconds) if seconds else None}, len(rows)))
    return found


def _step(step: dict[str, Any], row: Recovery, times: int = 1) -> list[Any]:
    good = step.get("ok")
    verdict = Verdict(_("done"), Tone.GOOD, "check") if good else Verdict(_("failed"), Tone.BAD, "close")
    if good is None and row.state != Recovery.State.RUNNING:
        verdict = Verdict(_("broken off"), Tone.BAD, "heart_broken")
    elif good is None:
        verdict = Verdict(_("running"), Tone.BUSY, "progress_activity")
    if times > 1:
        verdict = replace(
            verdict, word=_("%(result)s, %(count)d times") % {"result": verdict.word, "count": times}
        )
    return [
        shown(step.get("step", "")),
        shown(step.get("target", "")),
        words.duration(step.get("seconds")),
        verdict,
        shown(step.get("message", "")),
    ]
