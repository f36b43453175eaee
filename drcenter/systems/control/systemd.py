"""Units of systemd: the web server's pool, queue workers, timers."""

import re

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.systems.control.base import Control, Ground, State

UNIT = re.compile(r"[A-Za-z0-9@:_.\\-]+\.(service|timer|socket|path|target|scope|slice)")
# systemctl(1), "is-active": 3 is a unit that does not run, 4 one that there is none of.
NOT_ACTIVE = (0, 3, 4)


class SystemdOptions(forms.Form):
    units = LinesField(
        label=gettext_lazy("units"), required=True,
        help_text=gettext_lazy("One a line, in the order in which they stop: timers first, lest they start a service again."),
    )  # fmt: skip
    user = forms.BooleanField(
        label=gettext_lazy("of the user's own manager"), required=False,
        help_text=gettext_lazy("systemctl --user, for rootless services."),
    )  # fmt: skip
    sudo = forms.BooleanField(
        label=gettext_lazy("through sudo"), required=False,
        help_text=gettext_lazy("For a worker that is not root: allow exactly these commands in sudoers."),
    )  # fmt: skip

    def clean_units(self) -> list[str]:
        names: list[str] = self.cleaned_data["units"]
        if wrong := [name for name in names if not UNIT.fullmatch(name)]:
            raise forms.ValidationError(
                _("Write the whole name of a unit, as in shop-queue.service, not %(name)s.")
                % {"name": wrong[0]}
            )
        return names


class Plugin(Control):
    label = gettext_lazy("systemd (systemctl stop)")
    Options = SystemdOptions

    def describe(self) -> str:
        return f"systemctl stop {' '.join(self.options['units'])}"

    def check(self, ground: Ground) -> None:
        ground.path(tuple(self._systemctl()[:1]))
        self.look(ground)

    def look(self, ground: Ground) -> State:
        return {unit: self._state(ground, unit) for unit in self.options["units"]}

    def stop(self, ground: Ground, before: State) -> None:
        for unit in self.options["units"]:
            ground.run(*self._systemctl("stop", unit))
        self._sure(ground, self.options["units"], running=False)

    def start(self, ground: Ground, before: State) -> None:
        ran = [unit for unit in reversed(self.options["units"]) if before.get(unit) == "active"]
        for unit in ran:
            ground.run(*self._systemctl("start", unit))
        self._sure(ground, ran, running=True)

    def _systemctl(self, *words: str) -> list[str]:
        sudo = ["sudo", "-n"] if self.options["sudo"] else []
        return [*sudo, "systemctl", *(["--user"] if self.options["user"] else []), *words]

    def _state(self, ground: Ground, unit: str) -> str:
        """`active`, `inactive`, `failed`, ... Raises OperationFailed for a unit that there is none of."""
        loaded = ground.run(*self._systemctl("show", "--property=LoadState", "--value", unit)).strip()
        if loaded != "loaded":
            raise OperationFailed(
                _("systemd knows no unit %(unit)s (%(state)s).") % {"unit": unit, "state": loaded},
                _("Correct the units on the page of the system's stop."), permanent=True,
            )  # fmt: skip
        found = ground.run(*self._systemctl("is-active", unit), accepted=NOT_ACTIVE).strip()
        # One that is on its way up was meant to run.
        return "active" if found in {"activating", "reloading"} else found

    def _sure(self, ground: Ground, units: list[str], *, running: bool) -> None:
        wrong = [unit for unit in units if (self._state(ground, unit) == "active") is not running]
        if wrong:
            text = _("Not running after its start: %(units)s.") if running else _("Still running: %(units)s.")
            raise OperationFailed(
                text % {"units": ", ".join(wrong)}, _("Look at: journalctl -u %(unit)s") % {"unit": wrong[0]}
            )
