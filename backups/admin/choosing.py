"""The page of what differs: filter it, tick what should come back, plan that. Also as CSV."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import RowComparison
from backups.rows import changing, compare, export, results
from backups.rows.condition import Condition, parsed
from backups.rows.merge import Kind
from backups.rows.results import CHILD, PARENT, Held, Table
from backups.rows.values import shown
from drcenter import permissions
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may

PAGE = 50
VIEWS = ("all", *Kind, PARENT, CHILD)
LOOKS = {
    Kind.DELETED: (Tone.BAD, "remove"),
    Kind.CHANGED: (Tone.WARN, "edit"),
    Kind.ADDED: (Tone.GOOD, "add"),
}


class PlanForm(PanelForm):
    parents = forms.BooleanField(
        required=False, initial=True, label=gettext_lazy("With missing rows that these refer to")
    )
    children = forms.BooleanField(
        required=False, label=gettext_lazy("With rows that were deleted with these")
    )
    skip_conflicts = forms.BooleanField(
        required=False, label=gettext_lazy("Leave out rows that are not as shown any more"),
        help_text=gettext_lazy("Otherwise nothing is applied as long as one row is not as it was shown."),
    )  # fmt: skip
    without_triggers = forms.BooleanField(
        required=False, label=gettext_lazy("Without triggers"),
        help_text=gettext_lazy(
            "Only PostgreSQL, and only for a superuser; foreign keys are not checked then either."
        ),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class ChooseRows(ActPage):
    """GET shows a page of rows of a filter. POST ticks the rows on it, all of the filter, or none, or plans."""

    permission = permissions.COMPARE_ROWS
    action = "rows.choose"
    form_class = PlanForm
    template = "panel/rows.html"
    row: RowComparison

    def title(self) -> str:
        return _("What differs: %(comparison)s") % {"comparison": self.row}

    def submit_label(self) -> str:
        return _("Show the statements")

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not compare.place_of(self.row).exists():
            messages.error(request, _("This comparison has no result (any more)."))
            return HttpResponseRedirect(address(self.row))
        with transaction.atomic():
            asked = {
                name: request.GET[name]
                for name in ("kind", "where", "after", "format")
                if name in request.GET
            }
            record(self.actor, "backups.rows.seen", self.row, asked=asked)
        if request.GET.get("format") == "csv":
            return cast(HttpResponse, self._csv())
        return super().get(request, pk)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not may(request, permissions.RESTORE_ROWS):
            self._refuse(request)
        act = request.POST.get("act", "")
        try:
            with results.changed(compare.place_of(self.row)) as rows:
                if act == "plan" or act.startswith("page"):
                    rows.tick(_numbers(request, "shown"), _numbers(request, "row"))
                elif act in {"all", "none"}:
                    rows.choose(self._condition(rows), chosen=act == "all")
        except OperationFailed as error:
            return self._page(self.form_class(), Notice(error.message, error.hint))
        if act == "plan":
            return super().post(request, pk)
        query = self._query(after=act.partition(":")[2])
        return HttpResponseRedirect(f"{address(self.row, 'choose')}?{query}")

    def perform(self, form: Any) -> str:
        change = changing.plan(self.row, requested_by=self.actor, **form.cleaned_data)
        return address(change)

    # ------------------------------------------------------------------ what is shown

    @property
    def view(self) -> str:
        view = self.request.GET.get("kind", "all")
        return view if view in VIEWS else "all"

    @property
    def where(self) -> str:
        return self.request.GET.get("where", "")[:500]

    @property
    def after(self) -> int:
        text = self.request.GET.get("after", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

    def _query(self, **changes: Any) -> str:
        given = {"kind": self.view, "where": self.where, **changes}
        return urlencode({name: value for name, value in given.items() if value})

    def _condition(self, rows: results.Rows) -> Condition:
        if self.view in {PARENT, CHILD}:
            return Condition(linked=self.view)
        table = next(iter(rows.tables().values()))
        kinds = [] if self.view == "all" else [self.view]
        return parsed(self.where.split(" AND "), [column.name for column in table.columns], kinds)

    def _csv(self) -> StreamingHttpResponse:
        with results.changed(compare.place_of(self.row)) as rows:
            condition = self._condition(rows)
        lines = export.csv_of(self.row, condition)
        headers = {
            "Content-Disposition": f'attachment; filename="rows-{self.row.pk}.csv"',
            "Cache-Control": "no-store",
        }
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)

    def context(self, form: Any) -> dict[str, Any]:
        fault = None
        with results.changed(compare.place_of(self.row)) as rows:
            tables = rows.tables()
            try:
                found = rows.page(self._condition(rows), self.after, PAGE + 1)
            except OperationFailed as error:
                found, fault = [], Notice(error.message, error.hint)
            counts = rows.counts()
        context = {
            **super().context(form), "lines": [_line(held, tables[held.table]) for held in found[:PAGE]],
            "views": self._views(counts), "chosen": counts["chosen"], "where": self.where, "view": self.view,
            "next": found[PAGE - 1].id if len(found) > PAGE else None, "first": address(self.row, "choose"),
            "csv": self._query(format="csv"), "may_plan": may(self.request, permissions.RESTORE_ROWS),
        }  # fmt: skip
        return context | ({"error": fault} if fault else {})

    def _views(self, counts: dict[str, int]) -> list[dict[str, Any]]:
        names: dict[str, str] = {
            "all": _("all"), Kind.DELETED: _("deleted"), Kind.CHANGED: _("changed"), Kind.ADDED: _("added"),
            PARENT: _("referred to"), CHILD: _("deleted with them"),
        }  # fmt: skip
        held: dict[str, int] = {
            **{kind: counts[kind] for kind in Kind}, "all": sum(counts[kind] for kind in Kind),
            PARENT: counts["parents"], CHILD: counts["children"],
        }  # fmt: skip
        return [
            {"name": text, "count": held[view], "query": self._query(kind=view), "here": view == self.view}
            for view, text in names.items()
            if held[view] or view in {"all", self.view}
        ]


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [
        int(text)
        for text in request.POST.getlist(name)
        if text.isascii() and text.isdigit() and len(text) < 16
    ]


def _line(held: Held, table: Table) -> dict[str, Any]:
    """A row for the page: each column with what it was and what it is; of changed ones only key and what changed."""
    one, words = held.difference, {
        Kind.DELETED: _("deleted"), Kind.CHANGED: _("changed"), Kind.ADDED: _("added"),
    }  # fmt: skip
    tone, icon = LOOKS[one.kind]
    places = [*table.key, *one.changed] if one.kind == Kind.CHANGED else range(len(table.columns))
    cells = [
        {
            "name": table.columns[at].name,
            "was": shown(one.then[at]) if one.then is not None else None,
            "now": shown(one.now[at])
            if one.now is not None and (at in one.changed or one.then is None)
            else None,
        }
        for at in dict.fromkeys(places)
    ]
    return {
        "id": held.id, "table": held.table if held.role else "", "chosen": held.chosen, "note": held.note,
        "word": words[one.kind], "tone": tone, "icon": icon, "cells": cells, "kind": one.kind,
    }  # fmt: skip
