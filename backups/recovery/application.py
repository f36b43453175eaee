"""Stops and starts the application around a restore over production, and cleans up after it; each step at most once."""

import shlex
from collections.abc import Sequence

from django.utils.translation import gettext as _

from backups.models import Recovery
from backups.recovery import progress
from backups.recovery.foretell import as_typed
from backups.recovery.recovering import Recovering
from drcenter.errors import OperationFailed
from drcenter.systems import halt
from drcenter.systems.commands import run_commands
from drcenter.systems.models import System


class Application:
    """Of the system that is restored. What the recovery's steps call done is not done again when it is resumed."""

    def __init__(self, recovering: Recovering) -> None:
        self.recovering, self.context = recovering, recovering.context
        self.system: System = recovering.set.system

    def stop(self) -> None:
        """Stop it, unless that is not wanted: a broken one may know no stop command any more."""
        if self.recovering.recovery.skip_stop:
            with self.recovering.step(_("stop"), _("The stop commands are not run, as asked for.")):
                return
        try:
            self._halt()
            self._run(_("stop"), "stop", self.system.pause_command)
        except OperationFailed as error:
            hint = f"{error.hint} {_without_stop()}".strip()
            raise OperationFailed(error.message, hint, permanent=error.permanent) from error

    def clean_up(self) -> None:
        self._run(_("clean up"), "clean_up", self.system.after_restore_command)

    def start(self, hint: str) -> None:
        """Start it. From here on nothing stops it half-way. What fails leaves it stopped, wholly."""
        recovering = self.recovering
        recovering.end_state, recovering.hint = Recovery.State.DOWN, hint
        self.context.go_on()
        self.context.sure()
        try:
            self._run(_("start"), "start", self.system.resume_command)
            self._give_back()
        except OperationFailed:
            if self._is_half_up():
                self._stop_again()
            raise
        recovering.end_state = recovering.hint = ""

    def _is_half_up(self) -> bool:
        done = (self._done(f"start:{number}") for number, _words in enumerate(self.system.resume_command))
        return any(done) or progress.has_begun(self.recovering.recovery.steps, "give_back")

    def _done(self, key: str) -> bool:
        return progress.is_done(self.recovering.recovery.steps, key)

    def _stop_again(self) -> None:
        """Some start commands went through, one did not: stop what they started."""
        if self.recovering.recovery.skip_stop:
            self.context.log(_("The stop commands are not run, as asked for."), "warning")
            return
        try:
            self._halt()
            self._run(_("stop again"), "stop", self.system.pause_command)
        except OperationFailed as error:
            self.context.log(_("It could not be stopped again: %(error)s") % {"error": error}, "error")

    def _run(self, what: str, key: str, commands: Sequence[Sequence[str]]) -> None:
        for number, command in enumerate(commands):
            if self._done(f"{key}:{number}"):
                continue
            with self.recovering.step(what, shlex.join(command), key=f"{key}:{number}"):
                for line in run_commands(self.system, [command], self.context.children):
                    self.context.log(line)

    # ------------------------------------------------------------------ the ways to stop of the system

    def _halt(self) -> None:
        """What ran before is remembered on the row, from the first time: later it is our own work that is seen."""
        told = halt.describe(self.system)
        if not told or self._done("halt"):
            return
        with self.recovering.step(_("stop"), "; ".join(told), key="halt"):
            halt.stop(self.system, self._remember, self.context.children)

    def _remember(self, before: halt.Before) -> None:
        row = self.recovering.recovery
        if not row.halted:
            row.halted = before
            self.recovering.mine().update(halted=before)

    def _give_back(self) -> None:
        row = self.recovering.recovery
        if not row.halted or self._done("give_back"):
            return
        with self.recovering.step(_("start"), _("what ran before"), key="give_back"):
            halt.start(self.system, row.halted, self.context.children)


def _without_stop() -> str:
    return _(
        "If the application is too broken to be stopped, make sure that nothing runs, and restore again without the"
        " stop commands: --without-stop, or the box on the panel's page."
    )


def start_by_hand(system: System) -> str:
    commands = "; ".join(as_typed(system.resume_command))
    return _("Start the application by hand: %(commands)s") % {"commands": commands} if commands else ""
