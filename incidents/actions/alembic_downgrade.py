"""Takes migrations of Alembic back."""

import re

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from incidents.actions.base import Action, Context, State

REVISION = re.compile(r"^([0-9A-Za-z_]+)(?: \(head\))?$", re.MULTILINE)


class AlembicOptions(forms.Form):
    target = forms.CharField(
        label=gettext_lazy("back to"), initial="-1", validators=[RegexValidator(r"^(-\d+|[0-9A-Za-z_]+)$")],
        help_text=gettext_lazy("A revision, or -1 for one step back."),
    )  # fmt: skip
    command = LinesField(
        label=gettext_lazy("command"), required=True, initial=["alembic"],
        help_text=gettext_lazy("The words before “downgrade”, one a line: alembic; or /srv/app/.venv/bin/alembic."),
    )  # fmt: skip


class Plugin(Action):
    label = gettext_lazy("Take migrations back (Alembic)")
    Options = AlembicOptions
    reversible = True

    def describe(self) -> str:
        return f"alembic downgrade {self.options['target']}"

    def look(self, context: Context) -> State:
        now = self._current(context)
        if len(now) != 1:
            raise OperationFailed(
                _("The database stands at %(count)d revisions, not at one.") % {"count": len(now)},
                _("Look at: alembic current, alembic heads"), permanent=True,
            )  # fmt: skip
        return {"revision": now[0], "wanted": self._wanted(context, now[0])}

    def foretell(self, before: State) -> list[str]:
        return [
            _("The database goes from revision %(now)s back to %(wanted)s.")
            % {"now": before["revision"], "wanted": before["wanted"]},
            _("What their columns and tables hold is lost: take a backup first."),
        ]

    def execute(self, context: Context, before: State) -> None:
        self._alembic(context, "downgrade", before["wanted"])

    def verify(self, context: Context, before: State) -> str:
        now = self._current(context)
        if (now or ["base"]) != [before["wanted"]]:
            raise OperationFailed(
                _("The database is at revision %(now)s.") % {"now": ", ".join(now) or "base"}
            )
        return _("The database is at revision %(now)s.") % {"now": before["wanted"]}

    def undo(self, context: Context, before: State) -> None:
        """The migrations run again. The data that went with them do not come back."""
        self._alembic(context, "upgrade", before["revision"])
        if self._current(context) != [before["revision"]]:
            raise OperationFailed(_("Not the same migrations are in place as before."))

    def _wanted(self, context: Context, now: str) -> str:
        """The revision that the target means; relative ones are counted from `now`, lest a repeat go further."""
        target = self.options["target"]
        if not target.startswith("-"):
            return str(target)
        # "now:base" lists what is below, the newest first: "<down> -> <revision>, text".
        printed = self._alembic(context, "history", f"-rbase:{now}")
        below = re.findall(r"^(\S+) -> ([0-9A-Za-z_]+)", printed, re.MULTILINE)
        steps = int(target[1:])
        if steps > len(below):
            raise OperationFailed(
                _("Only %(have)d migrations have run, %(steps)d cannot be taken back.")
                % {"have": len(below), "steps": steps}, permanent=True,
            )  # fmt: skip
        down = below[steps - 1][0]
        return "base" if down == "<base>" else down

    def _current(self, context: Context) -> list[str]:
        return REVISION.findall(self._alembic(context, "current"))

    def _alembic(self, context: Context, *words: str) -> str:
        return context.run(*self.options["command"], *words)
