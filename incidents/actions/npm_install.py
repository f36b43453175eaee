"""Installs the JavaScript packages that the lock file of the code names, and builds."""

import json
import os

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from incidents.actions._locked import lock_file
from incidents.actions.base import Action, Context, State


class NpmOptions(forms.Form):
    build = forms.CharField(
        label=gettext_lazy("script that builds"), required=False, initial="build",
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9:_-]*$")],
        help_text=gettext_lazy("Of package.json: npm run build. Empty: none."),
    )  # fmt: skip


class Plugin(Action):
    label = gettext_lazy("Install the packages of the lock file, and build (npm)")
    Options = NpmOptions

    def describe(self) -> str:
        build = self.options["build"]
        return f"npm ci && npm run {build}" if build else "npm ci"

    def look(self, context: Context) -> State:
        context.ground.path(("npm",))
        return {"packages": len(self._wanted(context))}

    def foretell(self, before: State) -> list[str]:
        steps = [
            _("node_modules is removed, and made again with %(count)d packages.")
            % {"count": before["packages"]}
        ]
        if self.options["build"]:
            steps.append(
                _("The front end is built anew: %(script)s.") % {"script": f"npm run {self.options['build']}"}
            )
        return steps

    def execute(self, context: Context, before: State) -> None:
        context.run("npm", "ci", "--no-audit", "--no-fund")
        if self.options["build"]:
            context.run("npm", "run", self.options["build"])

    def verify(self, context: Context, before: State) -> str:
        wanted = self._wanted(context)
        wrong = [name for name, version in wanted.items() if self._version(context, name) != version]
        if wrong:
            raise OperationFailed(
                _("These packages are not as the lock file says: %(names)s.")
                % {"names": ", ".join(wrong[:10])}
            )
        return _("All %(count)d packages are as the lock file says.") % {"count": len(wanted)}

    def _wanted(self, context: Context) -> dict[str, str]:
        """{path below the application: version} of those that are for every machine."""
        packages = lock_file(context, "package-lock.json").get("packages", {})
        return {
            path: one["version"]
            for path, one in packages.items()
            if path and "version" in one and not one.get("optional") and not one.get("link")
        }

    def _version(self, context: Context, path: str) -> str:
        try:
            with open(
                os.path.join(context.ground.directory, path, "package.json"), encoding="utf-8"
            ) as stream:
                return str(json.load(stream).get("version", ""))
        except (OSError, ValueError):
            return ""
