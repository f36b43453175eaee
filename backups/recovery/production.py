"""A restore over production: stop, safety backup, restore, check, clean up, start. Never half up.

Once something was overwritten, a failure (or a request to stop) leads back: the safety set is restored with the
ephemeral identity that this attempt still holds, and the application is started. If that fails as well, the
application stays stopped, and the recovery says so, why, and what to do. A run whose worker died is resumed, or
undone, by a person: what its steps tell decides what is still to be done.
"""

import logging
import time
from collections.abc import Sequence

from django.utils.translation import gettext as _

from backups.models import Recovery, Set, Source
from backups.recovery import overwriting, progress, safety
from backups.recovery.application import Application, start_by_hand
from backups.recovery.progress import Standing
from backups.recovery.recovering import Recovering
from backups.recovery.safety import Safety
from drcenter.errors import OperationFailed
from drcenter.systems import halt
from drcenter.systems.commands import check_commands, is_gone

logger = logging.getLogger(__name__)

# Seconds between tries on the way back: a database server that was killed takes as long to come up again.
PAUSES: Sequence[float] = (2, 5, 10, 20, 30)


def check(recovering: Recovering) -> None:
    """Raises OperationFailed, before anything is done, for what would only turn up half-way."""
    system, row = recovering.set.system, recovering.recovery
    check_commands(system, skip_stop=row.skip_stop)
    if not row.skip_stop:
        halt.check(system)
    if is_gone(system):
        recovering.context.log(
            _("%(directory)s is gone: the application can only be started if the restore brings it back.")
            % {"directory": system.commands_directory},
            "warning",
        )
    if not row.skip_safety and not recovering.continues and safety.plan_for(recovering) is None:
        raise OperationFailed(
            _("There is no plan any more that says where the safety set is to be kept."),
            _("Make a plan for the system, or restore without the safety backup."),
            permanent=True,
        )


def check_rights(recovering: Recovering) -> None:
    """Raises OperationFailed, before anything is done, where the user of a source may not overwrite it."""
    for source, _parts in recovering.sources():
        try:
            place = overwriting.production(recovering, source)
            place.check_may_overwrite(recovering.expected(source))
        except OperationFailed:
            if not recovering.continues:
                recovering.hint = _("Nothing was stopped, overwritten or started.")
            raise


def restore(recovering: Recovering) -> None:
    """Do it, or what is left of it. Raises what made it fail, with `recovering.end_state` saying how things were left."""
    act = _Act(recovering)
    try:
        if act.has_work_before_start():
            act.application.stop()
            act.save()
            for source, parts in recovering.sources():
                overwriting.overwrite(recovering, source, parts)
            act.application.clean_up()
        recovering.context.check()
    except BaseException as error:
        act.go_back(error)
        raise
    act.application.start(f"{_('The data are restored; only the start failed.')} {start_by_hand(act.system)}")


def undo(recovering: Recovering) -> None:
    """After a run that broke off: put the safety set back, and start the application. Raises what made it fail."""
    act = _Act(recovering)
    recovering.end_state, recovering.hint = Recovery.State.DOWN, act.what_now()
    if act.touched():
        act.safety = safety.saved_before(recovering)
        if act.safety is None:
            raise OperationFailed(
                _("There is no safety set to go back to."),
                _("Resume it, or restore another set."),
                permanent=True,
            )
        recovering.details = {"sources": act.safety.sources}
        act.application.stop()
        for source in act.touched():
            recovering.context.check()
            overwriting.put_back(recovering, source, act.safety)
    act.application.start(act.what_now())


class _Act:
    """One restore over production: what was overwritten so far, and the safety set to go back to."""

    def __init__(self, recovering: Recovering) -> None:
        self.recovering, self.context = recovering, recovering.context
        self.system = recovering.set.system
        self.application = Application(recovering)
        self.safety: Safety | None = None

    def touched(self) -> list[Source]:
        """The sources that are not what they were before, or only half; by the steps, also of earlier attempts."""
        steps = self.recovering.recovery.steps
        return [
            source
            for source, _parts in self.recovering.sources()
            if progress.standing(steps, source.name) != Standing.OLD
        ]

    def has_work_before_start(self) -> bool:
        """False only for a run that broke off while, or because, the application was being started."""
        steps = self.recovering.recovery.steps
        whole = all(
            progress.standing(steps, source.name) == Standing.NEW
            and progress.is_done(steps, f"compare:{source.name}")
            for source, _parts in self.recovering.sources()
        )
        cleaned = all(
            progress.is_done(steps, f"clean_up:{number}")
            for number, _words in enumerate(self.system.after_restore_command)
        )
        return not (whole and cleaned)

    def save(self) -> None:
        """The safety set of what is there; once something was overwritten, that of the earlier attempt or none."""
        row = self.recovering.recovery
        kept = row.safety_set is not None and row.safety_set.state == Set.State.COMPLETE
        if not kept and not progress.has_overwritten(row.steps):
            self.safety = safety.save(self.recovering)
            return
        try:
            self.safety = safety.saved_before(self.recovering)
        except OperationFailed as error:
            self.recovering.warn(
                _("The safety set cannot be opened: there is no way back. %(error)s") % {"error": error}
            )

    # ------------------------------------------------------------------ back

    def go_back(self, error: BaseException) -> None:
        """After a failure: put back what was overwritten, then start; or leave it stopped. Raises nothing of its
        own but what ends the process, and a job that was taken away."""
        recovering, touched = self.recovering, self.touched()
        recovering.end_state, recovering.hint = Recovery.State.DOWN, self.what_now()
        stopped = recovering.was_stopped(error)
        self.context.go_on()
        self._say(error)
        if recovering.recovery.skip_stop and not touched:
            recovering.end_state = Recovery.State.CANCELLED if stopped else Recovery.State.FAILED
            recovering.hint = _("Nothing was stopped, overwritten or started.")
            return
        if touched and self.safety is None:
            recovering.afterword = (
                _("There is no safety set to go back to. The application was not stopped by us.")
                if recovering.recovery.never_stopped
                else _("There is no safety set to go back to: the application stays stopped.")
            )
            return
        failures = [text for source in touched if (text := self._try_to_put_back(source))]
        if not failures:
            try:
                self.application.start(self.what_now())
            except Exception as second:  # noqa: BLE001 - whatever it is, the application is not up
                failures = [str(second)]
        if failures:
            recovering.end_state = Recovery.State.DOWN
            recovering.afterword = _("The way back failed too: %(errors)s") % {"errors": " ".join(failures)}
            if recovering.recovery.never_stopped:
                recovering.afterword += " " + _("The application was not stopped by us.")
            return
        untouched = Recovery.State.CANCELLED if stopped else Recovery.State.FAILED
        recovering.end_state = Recovery.State.ROLLED_BACK if touched else untouched
        recovering.hint = self._hint_after(error, touched=bool(touched))

    def _try_to_put_back(self, source: Source) -> str:
        """Why it could not be put back; "" if it was. What may pass is tried again for a while."""
        if self.safety is None:
            return ""
        for pause in (*PAUSES, None):
            try:
                overwriting.put_back(self.recovering, source, self.safety)
            except Exception as error:  # noqa: BLE001 - the other sources have to be put back all the same
                self._say(error)
                if pause is None or getattr(error, "permanent", True):
                    return str(error)
                time.sleep(pause)
            else:
                return ""
        return ""

    def _say(self, error: BaseException) -> None:
        """Into the log, if it takes it: nothing stands between a failure and the way back."""
        try:
            self.context.log(str(error) or type(error).__name__, "error")
        except Exception:
            logger.exception("job %s: a failure cannot be logged", self.context.job.pk)

    # ------------------------------------------------------------------ what to do

    def _hint_after(self, error: BaseException, *, touched: bool) -> str:
        hint = str(getattr(error, "hint", ""))
        if self.safety is None and not touched and self.recovering.recovery.safety_set is not None:
            return f"{hint} {_('If what is there is beyond saving, restore again without the safety backup: --without-safety-backup.')}".strip()
        return hint

    def what_now(self) -> str:
        if not self.touched():
            return f"{_('Nothing was overwritten.')} {start_by_hand(self.system)}"
        return what_now(self.recovering.recovery)


def what_now(row: Recovery) -> str:
    """What to do when production may be half restored, and the application is stopped."""
    start = start_by_hand(row.copy.set.system)
    kept = row.safety_set
    if kept is None or kept.state != Set.State.COMPLETE:
        return _(
            "Cure the cause, then go on: manage.py recover resume %(number)d, or on its page. Or by hand: restore again, then start it. %(start)s"
        ) % {"number": row.pk, "start": start}
    return _(
        "Cure the cause, then go on, or go back to what was there before, the safety set %(set)s: "
        "manage.py recover resume %(number)d, or undo %(number)d, or on its page. By hand, at the end: %(start)s"
    ) % {"set": kept, "number": row.pk, "start": start}


def hint_after_loss(recovery: Recovery) -> str:
    """What may be true of production now. The first step only reads; what follows stops and overwrites."""
    if recovery.place != Recovery.Place.PRODUCTION or recovery.state != Recovery.State.RUNNING:
        return ""
    if len(recovery.steps) < 2:
        return _("Nothing had been stopped or overwritten yet. Restore again.")
    last = recovery.steps[-1]
    begun = _("It was at: %(step)s (%(target)s).") % {"step": last["step"], "target": last["target"]}
    still = _("The application may still be stopped, and half restored.")
    return f"{begun} {still} {what_now(recovery)}"
