"""Takes back the last migrations of a Laravel application."""

import re

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from incidents.actions.base import Action, Context, State

# Both tables of `migrate:status`: with bars up to Laravel 8, with dots since 9.
RAN = re.compile(r"^\|\s*Yes\s*\|\s*(\S+)|^\s*(\S+)\s+\.+\s+\[\d+\]\s+Ran", re.MULTILINE)


class RollbackOptions(forms.Form):
    steps = forms.IntegerField(
        label=gettext_lazy("how many migrations"), initial=1, min_value=1, max_value=100
    )
    php = forms.CharField(label=gettext_lazy("PHP"), initial="php")


class Plugin(Action):
    label = gettext_lazy("Take migrations back (Laravel)")
    Options = RollbackOptions
    reversible = True

    def describe(self) -> str:
        return f"php artisan migrate:rollback --step={self.options['steps']}"

    def look(self, context: Context) -> State:
        ran = self._ran(context)
        if len(ran) < self.options["steps"]:
            raise OperationFailed(
                _("Only %(have)d migrations have run, %(steps)d cannot be taken back.")
                % {"have": len(ran), "steps": self.options["steps"]}, permanent=True,
            )  # fmt: skip
        return {"ran": ran}

    def foretell(self, before: State) -> list[str]:
        back = before["ran"][-self.options["steps"] :]
        return [
            _("These migrations are taken back, the last first: %(names)s.")
            % {"names": ", ".join(reversed(back))},
            _("What their columns and tables hold is lost: take a backup first."),
        ]

    def execute(self, context: Context, before: State) -> None:
        # After a crash some may be back already: only what is left.
        left = len(self._ran(context)) - (len(before["ran"]) - self.options["steps"])
        if left > 0:
            context.run(self.options["php"], "artisan", "migrate:rollback", f"--step={left}", "--force")

    def verify(self, context: Context, before: State) -> str:
        now, wanted = self._ran(context), before["ran"][: -self.options["steps"]]
        if now != wanted:
            raise OperationFailed(
                _("%(count)d migrations are in place, not %(wanted)d.")
                % {"count": len(now), "wanted": len(wanted)}
            )
        return _("%(count)d migrations are in place; the last is %(name)s.") % {
            "count": len(now), "name": now[-1] if now else "-"}  # fmt: skip

    def undo(self, context: Context, before: State) -> None:
        """The migrations run again. The data that went with them do not come back."""
        context.run(self.options["php"], "artisan", "migrate", "--force")
        if self._ran(context) != before["ran"]:
            raise OperationFailed(_("Not the same migrations are in place as before."))

    def _ran(self, context: Context) -> list[str]:
        printed = context.ground.run(self.options["php"], "artisan", "migrate:status", "--no-ansi")
        return [bars or dots for bars, dots in RAN.findall(printed)]
