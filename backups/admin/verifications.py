"""The page of a verification: which level was reached, and what stood in the way."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups.admin.verdicts import level_verdict, verification_verdict
from backups.models import Verification
from drcenter.jobs.admin import cancel_button, outcome
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Fact, Link, Record, Table
from drcenter.panel.pages import RecordAdmin, address


@admin.register(Verification)
class VerificationAdmin(RecordAdmin):
    list_display = ("copy", "wanted", "verdict", "requested_by", "created_at")
    list_filter = ("state", "wanted", "reached", "copy__destination", "copy__set__system")
    search_fields = ("copy__set__identifier", "message")
    list_select_related = ("copy__set__system", "copy__destination")
    empty_hint = gettext_lazy("Plans verify each set after it was taken; open a set to verify it again.")

    @display(description=gettext_lazy("result"), ordering="state")
    def verdict(self, row: Verification) -> str:
        return badge(verification_verdict(row))

    def zone(self, obj: Verification) -> str:
        return obj.copy.set.system.time_zone

    def record(self, request: HttpRequest, obj: Verification) -> Record:
        took = (
            (obj.finished_at - obj.started_at).total_seconds() if obj.started_at and obj.finished_at else None
        )
        facts = [
            Fact(_("set"), Link(str(obj.copy.set), address(obj.copy.set))),
            Fact(_("copy"), Link(str(obj.copy.destination), address(obj.copy))),
            Fact(_("level asked for"), obj.get_wanted_display()),
            Fact(_("level reached"), level_verdict(obj.reached) if obj.reached else None),
            Fact(_("requested by"), obj.requested_by),
            Fact(_("requested at"), words.when(obj.created_at)),
            Fact(_("took"), words.duration(took)),
            Fact(_("job"), Link(str(obj.job), address(obj.job)) if obj.job else None),
        ]
        return Record(
            verdict=verification_verdict(obj),
            notices=outcome(obj),
            facts=[fact for fact in facts if fact.value not in (None, "", words.NOTHING)],
            buttons=cancel_button(request, obj.job),
            tables=_tables(obj),
            job=obj.job,
            live=obj.job is not None and obj.job.is_open,
        )


def _tables(row: Verification) -> list[Table]:
    tables = []
    if row.differences:
        tables.append(Table(_("differences"), [_("what differs")], [[text] for text in row.differences]))
    if row.facts:
        tables += _compared({name: told for name, told in row.facts.items() if isinstance(told, dict)})
    return tables


def _compared(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """The figures of each source, and what could not be compared, with the reason."""
    columns = [_("source"), _("restored in"), _("compared in"), _("objects compared"),
               _("tables or files compared"), _("not compared")]  # fmt: skip
    rows = [
        [
            source,
            words.duration(told.get("restore_seconds")),
            words.duration(told.get("compare_seconds")),
            told.get("objects"),
            told.get("contents"),
            len(told.get("ignored") or ()),
        ]
        for source, told in facts.items()
    ]
    yield Table(_("what was compared"), columns, rows)
    left_out = [
        [source, name, reason]
        for source, told in facts.items()
        for name, reason in (told.get("ignored") or {}).items()
    ]
    if left_out:
        yield Table(_("not compared"), [_("source"), _("what"), _("why")], left_out)
    reservations = [
        [source, text] for source, told in facts.items() for text in told.get("reservations") or ()
    ]
    if reservations:
        yield Table(_("with these reservations"), [_("source"), _("what was different")], reservations)
