"""Installs the PHP packages that the lock file of the code names."""

import json
import os

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from incidents.actions._locked import lock_file
from incidents.actions.base import Action, Context, State


class ComposerOptions(forms.Form):
    dev = forms.BooleanField(label=gettext_lazy("with packages for developing"), required=False)
    scripts = forms.BooleanField(
        label=gettext_lazy("run the scripts of composer.json"), required=False, initial=True,
        help_text=gettext_lazy("Laravel finds its packages by one of them."),
    )  # fmt: skip


class Plugin(Action):
    label = gettext_lazy("Install the packages of the lock file (composer)")
    Options = ComposerOptions

    def describe(self) -> str:
        return "composer install"

    def look(self, context: Context) -> State:
        context.ground.path(("composer",))
        wanted = self._wanted(context)
        have = self._installed(context)
        return {"changes": sorted(name for name in {*wanted, *have} if wanted.get(name) != have.get(name))}

    def foretell(self, before: State) -> list[str]:
        count, names = len(before["changes"]), ", ".join(before["changes"][:10])
        if not count:
            return [_("All packages are as the lock file says; nothing will change.")]
        return [_("%(count)d packages change: %(names)s.") % {"count": count, "names": names}]

    def execute(self, context: Context, before: State) -> None:
        words = ["composer", "install", "--no-interaction", "--no-progress", "--optimize-autoloader"]
        words += [] if self.options["dev"] else ["--no-dev"]
        words += [] if self.options["scripts"] else ["--no-scripts"]
        context.run(*words)

    def verify(self, context: Context, before: State) -> str:
        wanted, have = self._wanted(context), self._installed(context)
        if wanted != have:
            wrong = sorted(name for name in {*wanted, *have} if wanted.get(name) != have.get(name))
            raise OperationFailed(
                _("These packages are not as the lock file says: %(names)s.")
                % {"names": ", ".join(wrong[:10])}
            )
        return _("All %(count)d packages are as the lock file says.") % {"count": len(wanted)}

    def _wanted(self, context: Context) -> dict[str, str]:
        lock = lock_file(context, "composer.lock")
        packages = [*lock.get("packages", []), *(lock.get("packages-dev", []) if self.options["dev"] else [])]
        return {one["name"]: one["version"] for one in packages}

    def _installed(self, context: Context) -> dict[str, str]:
        path = os.path.join(context.ground.directory, "vendor/composer/installed.json")
        try:
            with open(path, encoding="utf-8") as stream:
                found = json.load(stream)
        except FileNotFoundError:
            return {}
        return {one["name"]: one["version"] for one in found["packages"]}
