"""What puts rows back: its statements, asking for approval, and undoing it."""

from typing import Any, cast

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import RowChange
from backups.rows import apply, changing, export, results
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Fact, Link, Notice, Table, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may

# Statements that the page shows.
SHOWN = 25


class AskForm(PanelForm):
    typed_host = forms.CharField(
        max_length=250, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )
    reason = forms.CharField(
        max_length=500, widget=forms.Textarea(attrs={"rows": 2}), label=gettext_lazy("Why"),
        help_text=gettext_lazy("For the person who approves it, and for the trail."),
    )  # fmt: skip

    def __init__(self, *args: Any, words: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["typed_host"].label = _("Type the system and the host: %(words)s") % {"words": words}
        self.dress()


class AskRows(ActPage):
    permission = permissions.RESTORE_ROWS
    action = "rows.request"
    form_class = AskForm
    row: RowChange

    def title(self) -> str:
        return _("Put rows back: %(change)s") % {"change": self.row}

    def submit_label(self) -> str:
        return _("Ask for approval")

    def facts(self) -> list[Fact]:
        return [
            Fact(_("what is written to"), str(self.row.comparison.source.build().target), code=True),
            Fact(_("digest of the statements"), self.row.digest, code=True),
        ]

    def steps(self) -> list[str]:
        return apply.sentences(self.row)

    def notices(self) -> list[Notice]:
        return [
            Notice(
                _("Nothing runs yet: this writes the plan down."),
                _("Another person with the right approves exactly these statements, then you begin it."),
                Tone.FAIR,
            )
        ]

    def form_arguments(self) -> dict[str, Any]:
        return {"words": apply.to_type(self.row)}

    def perform(self, form: Any) -> str:
        data, user = form.cleaned_data, self.request.user
        recovery = apply.request(
            self.row, typed_host=data["typed_host"], requested_by=self.actor,
            user=user, reason=data["reason"],  # type: ignore[arg-type]
        )  # fmt: skip
        return address(recovery)


class UndoForm(PanelForm):
    skip_conflicts = forms.BooleanField(
        required=False, label=gettext_lazy("Leave out rows that are not as shown any more"),
        help_text=gettext_lazy("Otherwise nothing is applied as long as one row is not as it was shown."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class UndoRows(ActPage):
    permission = permissions.RESTORE_ROWS
    action = "rows.undo"
    form_class = UndoForm
    row: RowChange

    def title(self) -> str:
        return _("Undo: %(change)s") % {"change": self.row}

    def submit_label(self) -> str:
        return _("Show the statements")

    def steps(self) -> list[str]:
        return [
            _("What was put back is taken away again, and what was changed becomes what it was before."),
            _("Only rows that are still as they were put back; this needs an approval of its own."),
        ]

    def perform(self, form: Any) -> str:
        return address(changing.plan_undo(self.row, requested_by=self.actor, **form.cleaned_data))


class Statements(ActPage):
    """All statements as a file, for whoever may see rows; a GET without effect."""

    permission = permissions.COMPARE_ROWS
    action = "rows.statements"
    row: RowChange

    def permitted(self, request: HttpRequest) -> bool:
        return may_read(request)

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not changing.place_of(self.row).exists():
            raise PermissionDenied
        name = f'attachment; filename="rows-{self.row.pk}.sql"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
        found = StreamingHttpResponse(
            export.sql_of(self.row), content_type="text/plain; charset=utf-8", headers=headers
        )
        return cast(HttpResponse, found)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        raise PermissionDenied


def may_read(request: HttpRequest) -> bool:
    """Whoever compares rows, and whoever approves what is done with them."""
    return may(request, permissions.COMPARE_ROWS) or may(request, permissions.APPROVE_RECOVERY)


def statements_table(request: HttpRequest, row: RowChange) -> list[Table]:
    """The first statements, for whoever may see rows."""
    if not may_read(request) or not changing.place_of(row).exists():
        return []
    try:
        with (
            results.changed(changing.place_of(row)) as file,
            row.comparison.source.build().rows(write=True) as session,
        ):
            lines = [[text[:2000]] for text in changing.texts(file, session, size=SHOWN)]
    except OperationFailed as error:
        lines = [[str(error)]]
    total = sum(count for verbs in row.counts.values() for count in verbs.values())
    if total > len(lines):
        text = _("All %(count)d statements") % {"count": total}
        lines.append([Link(text, address(row, "statements"))])  # type: ignore[list-item]
    return [Table(_("statements"), [_("what runs, under the condition that the row is as shown")], lines)]
