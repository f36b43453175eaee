"""Puts a Helm release back to an earlier revision."""

import json
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from incidents.actions.base import Action, Context, State

NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"


class HelmOptions(forms.Form):
    release = forms.CharField(label=gettext_lazy("release"), validators=[RegexValidator(NAME)])
    namespace = forms.CharField(label=gettext_lazy("namespace"), validators=[RegexValidator(NAME)])
    revision = forms.IntegerField(
        label=gettext_lazy("revision"), required=False, min_value=1,
        help_text=gettext_lazy("Empty: the one before that was deployed well."),
    )  # fmt: skip
    context = forms.CharField(
        label=gettext_lazy("context"), required=False, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9@:/._-]*$")],
        help_text=gettext_lazy("Name one, lest a changed default lead to another cluster."),
    )  # fmt: skip
    minutes = forms.IntegerField(
        label=gettext_lazy("patience in minutes"), initial=5, min_value=1, max_value=60
    )


class Plugin(Action):
    label = gettext_lazy("Roll back a release (Helm)")
    Options = HelmOptions
    reversible = True

    def describe(self) -> str:
        return f"helm rollback {self.options['release']} ({self.options['namespace']})"

    def look(self, context: Context) -> State:
        context.ground.path(("helm",))
        history = self._history(context)
        if not history:
            raise OperationFailed(
                _("The release %(name)s has no history.") % {"name": self.options["release"]}
            )
        now, wanted = history[-1], self._wanted(history)
        return {"revision": now["revision"], "wanted": wanted["revision"],
                "now": _told(now), "then": _told(wanted)}  # fmt: skip

    def foretell(self, before: State) -> list[str]:
        return [
            _("The release goes from %(now)s back to %(then)s.") % before,
            _("Migrations of the database are not taken back by it."),
        ]

    def execute(self, context: Context, before: State) -> None:
        self._roll(context, before["wanted"])

    def verify(self, context: Context, before: State) -> str:
        last = self._history(context)[-1]
        if last["status"] != "deployed" or not _is_of(last, before["wanted"]):
            raise OperationFailed(_("The release is at %(now)s.") % {"now": _told(last)})
        return _("The release is at %(now)s.") % {"now": _told(last)}

    def undo(self, context: Context, before: State) -> None:
        self._roll(context, before["revision"])

    def _roll(self, context: Context, revision: int) -> None:
        # A repeat after a crash would make one more revision of the same: harmless.
        context.run(*self._helm("rollback", self.options["release"], str(revision), "--wait",
                                f"--timeout={self.options['minutes']}m"))  # fmt: skip

    def _helm(self, *words: str) -> list[str]:
        chosen = [f"--kube-context={self.options['context']}"] if self.options["context"] else []
        return ["helm", f"--namespace={self.options['namespace']}", *chosen, *words]

    def _history(self, context: Context) -> list[dict[str, Any]]:
        printed = context.ground.run(*self._helm("history", self.options["release"], "--output=json"))
        try:
            found: list[dict[str, Any]] = json.loads(printed)
        except ValueError:
            raise OperationFailed(_("helm did not answer with the history of the release.")) from None
        return sorted(found, key=lambda one: int(one["revision"]))

    def _wanted(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        number = self.options["revision"]
        good = [one for one in history[:-1] if one["status"] in {"superseded", "deployed"}]
        fitting = [one for one in history if one["revision"] == number] if number else good
        if not fitting:
            raise OperationFailed(
                _("There is no earlier revision that was deployed well."),
                _("Look at: helm history %(name)s") % {"name": self.options["release"]}, permanent=True,
            )  # fmt: skip
        return fitting[-1]


def _told(one: dict[str, Any]) -> str:
    return f"{one['revision']} ({one.get('chart', '')} {one.get('app_version', '')}, {one['status']})"


def _is_of(last: dict[str, Any], wanted: int) -> bool:
    """Helm describes what a rollback made: "Rollback to 3"."""
    return last["revision"] == wanted or str(last.get("description", "")) == f"Rollback to {wanted}"
