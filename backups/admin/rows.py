"""The pages of a comparison of rows: what differs, which rows come back, and what was put back."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups.admin.choosing import ChooseRows
from backups.admin.putting_back import AskRows, Statements, UndoRows, statements_table
from backups.models import RowChange, RowComparison
from backups.rows import changing
from drcenter import permissions
from drcenter.jobs.admin import cancel_button, outcome
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Table, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.permissions import may
from drcenter.stored import shown

COMPARED = {
    RowComparison.State.WAITING: (Tone.BUSY, "hourglass_empty"),
    RowComparison.State.RUNNING: (Tone.BUSY, "progress_activity"),
    RowComparison.State.DONE: (Tone.GOOD, "difference"),
    RowComparison.State.FAILED: (Tone.BAD, "error"),
    RowComparison.State.CANCELLED: (Tone.IDLE, "block"),
    RowComparison.State.LOST: (Tone.BAD, "error"),
    RowComparison.State.REMOVED: (Tone.IDLE, "delete"),
}
CHANGED = {
    RowChange.State.PLANNED: (Tone.FAIR, "assignment"),
    RowChange.State.RUNNING: (Tone.BUSY, "progress_activity"),
    RowChange.State.COMMITTING: (Tone.WARN, "progress_activity"),
    RowChange.State.APPLIED: (Tone.GOOD, "check_circle"),
    RowChange.State.CONFLICTS: (Tone.WARN, "warning"),
    RowChange.State.FAILED: (Tone.BAD, "error"),
    RowChange.State.UNKNOWN: (Tone.BAD, "help"),
    RowChange.State.CANCELLED: (Tone.IDLE, "block"),
}


def compared_verdict(row: RowComparison) -> Verdict:
    tone, icon = COMPARED[RowComparison.State(row.state)]
    return Verdict(row.get_state_display(), tone, icon, shown(row.message))


def changed_verdict(row: RowChange) -> Verdict:
    tone, icon = CHANGED[RowChange.State(row.state)]
    return Verdict(row.get_state_display(), tone, icon, shown(row.message))


@admin.register(RowComparison)
class RowComparisonAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "requested_by", "created_at")
    list_filter = ("state", "source__system")
    search_fields = ("table", "counterpart", "copy__set__identifier", "requested_by")
    list_select_related = ("copy__set__system", "source")
    empty_hint = gettext_lazy("Open a set, and choose “Compare rows”.")

    @display(description=gettext_lazy("result"), ordering="state")
    def verdict(self, row: RowComparison) -> str:
        return badge(compared_verdict(row))

    def zone(self, obj: RowComparison) -> str:
        return obj.source.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(ChooseRows.as_view(model_admin=self))
        return [path("<int:pk>/choose/", view, name="backups_rowcomparison_choose"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: RowComparison) -> Record:
        done = obj.state == RowComparison.State.DONE
        buttons = cancel_button(request, obj.job)
        if done and may(request, permissions.COMPARE_ROWS):
            buttons = [Button(_("Look at the rows"), address(obj, "choose"), "table_rows", "primary")]
        return Record(
            verdict=compared_verdict(obj),
            notices=[*outcome(obj), *(Notice(shown(note), tone=Tone.FAIR) for note in obj.notes)],
            facts=[*_about(obj), *_counts(obj)],
            buttons=buttons,
            tables=_changes(obj),
            job=obj.job,
            live=obj.job is not None and obj.job.is_open,
        )


def _about(row: RowComparison) -> list[Fact]:
    facts = [
        Fact(_("set"), Link(str(row.copy.set), address(row.copy.set))),
        Fact(_("as of"), words.when_and_ago(row.wanted_at if row.exact else row.copy.set.moment)),
        Fact(_("source"), Link(row.source.name, address(row.source))),
        Fact(_("table"), row.table, code=True),
        Fact(_("table in production"), row.counterpart, code=True),
        Fact(_("key"), ", ".join(row.key)),
        Fact(_("requested by"), row.requested_by),
        Fact(_("requested at"), words.when(row.created_at)),
    ]
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def _counts(row: RowComparison) -> list[Fact]:
    names = {
        "deleted": _("deleted since"), "changed": _("changed since"), "added": _("added since"),
        "parents": _("missing rows that these refer to"), "children": _("rows that were deleted with these"),
    }  # fmt: skip
    return [Fact(text, str(row.counts[name])) for name, text in names.items() if name in row.counts]


def _changes(row: RowComparison) -> list[Table]:
    rows = [
        [Link(f"#{change.pk}", address(change)), changed_verdict(change), _sums(change), change.requested_by]
        for change in row.changes.all()
    ]
    columns = [_("number"), _("result"), _("statements"), _("requested by")]
    return [Table(_("put back"), columns, rows)] if rows else []


def _sums(change: RowChange) -> str:
    return "; ".join(
        f"{table}: " + ", ".join(f"{count} {verb}" for verb, count in verbs.items())
        for table, verbs in change.counts.items()
    )


@admin.register(RowChange)
class RowChangeAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "requested_by", "created_at")
    list_filter = ("state", "comparison__source__system")
    search_fields = ("comparison__table", "requested_by", "digest")
    list_select_related = ("comparison__copy__set__system",)
    empty_hint = gettext_lazy("Compare a table with production, and choose rows.")

    @display(description=gettext_lazy("result"), ordering="state")
    def verdict(self, row: RowChange) -> str:
        return badge(changed_verdict(row))

    def zone(self, obj: RowChange) -> str:
        return obj.comparison.source.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        pages = {"ask": AskRows, "undo": UndoRows, "statements": Statements}
        site = self.admin_site
        return [
            *(
                path(
                    f"<int:pk>/{name}/", site.admin_view(page.as_view(model_admin=self)),
                    name=f"backups_rowchange_{name}",
                )
                for name, page in pages.items()
            ),
            *super().get_urls(),
        ]  # fmt: skip

    def record(self, request: HttpRequest, obj: RowChange) -> Record:
        job = obj.recovery.job if obj.recovery else None
        conflicts = [[text] for text in obj.conflicts]
        return Record(
            verdict=changed_verdict(obj),
            notices=[*outcome(obj), *(Notice(shown(note), tone=Tone.WARN) for note in obj.notes)],
            facts=_change_facts(obj),
            buttons=[*cancel_button(request, job), *_change_buttons(request, obj)],
            tables=[
                *([Table(_("conflicts"), [_("row")], conflicts)] if conflicts else []),
                *statements_table(request, obj),
            ],
            job=job,
            live=job is not None and job.is_open,
        )


def _change_facts(row: RowChange) -> list[Fact]:
    recovery = row.recovery
    facts = [
        Fact(_("comparison of rows"), Link(str(row.comparison), address(row.comparison))),
        Fact(_("undoes"), Link(f"#{row.undo_of_id}", address(row.undo_of)) if row.undo_of else None),
        Fact(
            _("recovery"),
            Link(f"#{recovery.pk} {recovery.state_shown}", address(recovery)) if recovery else None,
        ),
        Fact(_("statements"), _sums(row)),
        Fact(_("leave out rows with conflicts"), words.yes_or_no(row.skip_conflicts)),
        Fact(_("requested by"), row.requested_by),
        Fact(_("requested at"), words.when(row.created_at)),
        Fact(_("digest of the statements"), row.digest, code=True),
    ]
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def _change_buttons(request: HttpRequest, row: RowChange) -> list[Button]:
    if not may(request, permissions.RESTORE_ROWS) or not changing.place_of(row).exists():
        return []
    if row.state == RowChange.State.PLANNED and row.recovery is None:
        return [Button(_("Ask for approval"), address(row, "ask"), "how_to_reg", "primary")]
    if row.state == RowChange.State.APPLIED:
        return [Button(_("Undo"), address(row, "undo"), "undo", "risky")]
    return []
