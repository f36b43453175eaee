"""A restore over production: stop, safety backup, restore, check, clean up, start. Never half up.

Once something was overwritten, a failure (or a request to stop) leads back: the safety set is restored with the
ephemeral identity that this attempt still holds, and the application is started. If that fails as well, the
application stays stopped, and the recovery says so, why, and what to do.
"""

import logging
import os
import shlex
import time
from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from backups import engines
from backups.engines.base import Engine, Gone, Untouched
from backups.models import Part, Plan, Recovery, Set, Source
from backups.recovery import aftermath
from backups.recovery.foretell import as_typed
from backups.recovery.placing import by_source, place_source
from backups.recovery.recovering import Recovering
from backups.storage import layout, publish, signing
from backups.takes import take
from backups.takes.tables import Chosen
from backups.takes.taking import Taking
from backups.witness import Witness, differences
from drcenter.errors import OperationFailed
from drcenter.systems.commands import check_commands, is_gone, run_commands
from drcenter.systems.models import System

logger = logging.getLogger(__name__)

# Seconds between tries on the way back: a database server that was killed takes as long to come up again.
PAUSES: Sequence[float] = (2, 5, 10, 20, 30)
# What keeps Laravel down: it has to survive the restore of the files around it.
MARKERS = ("storage/framework/down", "storage/framework/maintenance.php")


def check(recovering: Recovering) -> None:
    """Raises OperationFailed, before anything is done, for what would only turn up half-way."""
    system = recovering.set.system
    check_commands(system, skip_stop=recovering.recovery.skip_stop)
    if is_gone(system):
        recovering.context.log(
            _("%(directory)s is gone: the application can only be started if the restore brings it back.")
            % {"directory": system.commands_directory},
            "warning",
        )
    if not recovering.recovery.skip_safety and _safety_plan(recovering) is None:
        raise OperationFailed(
            _("There is no plan any more that says where the safety set is to be kept."),
            _("Make a plan for the system, or restore without the safety backup."),
            permanent=True,
        )


def check_rights(recovering: Recovering) -> None:
    """Raises OperationFailed, before anything is done, where the user of a source may not overwrite it."""
    for source, _parts in recovering.sources():
        try:
            place = recovering.narrowed(source, _place(recovering.set.system, source))
            place.check_may_overwrite(recovering.expected(source))
        except OperationFailed:
            recovering.hint = _("Nothing was stopped, overwritten or started.")
            raise


def restore(recovering: Recovering) -> None:
    """Do it. Raises what made it fail, with `recovering.end_state` saying how things were left."""
    act = _Act(recovering)
    try:
        act.stop()
        act.save()
        for source, parts in recovering.sources():
            act.overwrite(source, parts)
        act.clean_up()
        recovering.context.check()
    except BaseException as error:
        act.go_back(error)
        raise
    act.start(f"{_('The data are restored; only the start failed.')} {start_by_hand(act.system)}")


class _Act:
    """One restore over production: what was overwritten so far, and the safety set to go back to."""

    def __init__(self, recovering: Recovering) -> None:
        self.recovering, self.context = recovering, recovering.context
        self.system: System = recovering.set.system
        self.safety: Taking | None = None
        self.touched: list[Source] = []

    # ------------------------------------------------------------------ forward

    def stop(self) -> None:
        """Stop the application, unless it is asked not to: a broken one may know no stop command any more."""
        if self.recovering.recovery.skip_stop:
            with self.recovering.step(_("stop"), _("The stop commands are not run, as asked for.")):
                return
        try:
            self._run(_("stop"), self.system.pause_command)
        except OperationFailed as error:
            hint = f"{error.hint} {_without_stop()}".strip()
            raise OperationFailed(error.message, hint, permanent=error.permanent) from error

    def save(self) -> None:
        """The safety set of what is about to be overwritten; its ephemeral identity stays in memory."""
        recovering = self.recovering
        if recovering.recovery.skip_safety:
            self.context.log(_("Without a safety backup, as asked for: there is no way back."), "warning")
            return
        found = [self._what_is_there(source) for source, _parts in recovering.sources()]
        sources = [one for one in found if one is not None]
        if not sources:
            self.context.log(
                _("Nothing is left of any source: there is no safety set to go back to."), "warning"
            )
            return
        taking = Taking(self.context, _safety_row(recovering))
        with recovering.step(_("safety backup"), str(taking.set)):
            try:
                take.store_set(taking, sources)
            except BaseException as error:
                aftermath.fail(taking, error)
                raise
        self.safety = taking

    def _what_is_there(self, source: Source) -> Chosen | None:
        """What is to be saved of it before it is overwritten: as much as the set holds of it. None: nothing is left.

        What else is wrong is told by the safety backup.
        """
        held = self.recovering.tables(source)
        place = self.recovering.narrowed(source, source.build())
        try:
            if not held:
                place.inspect()
                return Chosen(source, ())
            there = place.only(()).tables()
            if left := [table for table in held if table in there]:
                return Chosen(source, left, len(there))
            self._nothing_left(source, ", ".join(held))
        except Gone as error:
            self._nothing_left(source, error.message)
        except OperationFailed:
            return Chosen(source, held)
        return None

    def _nothing_left(self, source: Source, why: str) -> None:
        note = _("%(source)s: NOTHING IS LEFT OF IT, so nothing of it is saved. %(error)s") % {
            "source": source.name, "error": why}  # fmt: skip
        with self.recovering.step(_("nothing to save"), note):
            return

    def overwrite(self, source: Source, parts: Sequence[Part]) -> None:
        recovering, expected = self.recovering, self.recovering.expected(source)
        place = recovering.narrowed(source, _place(self.system, source))
        self.touched.append(source)
        with recovering.step(_("overwrite"), f"{place.target} @ {place.host}"):
            self.context.sure()
            try:
                self._make_way(place, recovering.room_for(source))
            except Untouched:
                self.touched.remove(source)
                raise
            place_source(self.context, recovering.readable, parts, place, expected)
        with recovering.step(_("compare"), place.target):
            found = place.witness()
            recovering.note_differences(source.name, differences(expected, found))
        if source.options.get("critical_tables"):
            with recovering.step(_("count the critical tables"), place.target):
                check_counts(recovering.count(source, place), expected, found)

    def _make_way(self, place: Engine, expected: Witness) -> None:
        place.prepare(overwrite=True)
        self.context.check()
        place.make_room(expected)

    def clean_up(self) -> None:
        self._run(_("clean up"), self.system.after_restore_command)

    def start(self, hint: str) -> None:
        """Start the application. From here on nothing stops it half-way. What fails leaves it stopped, wholly."""
        recovering = self.recovering
        recovering.end_state, recovering.hint = Recovery.State.DOWN, hint
        self.context.go_on()
        self.context.sure()
        done = 0
        try:
            for command in self.system.resume_command:
                self._run(_("start"), [command])
                done += 1
        except OperationFailed:
            if done:
                self._stop_again()
            raise
        recovering.end_state = recovering.hint = ""

    def _stop_again(self) -> None:
        """Some start commands went through, one did not: stop what they started."""
        if self.recovering.recovery.skip_stop:
            self.context.log(_("The stop commands are not run, as asked for."), "warning")
            return
        try:
            self._run(_("stop again"), self.system.pause_command)
        except OperationFailed as error:
            self.context.log(_("It could not be stopped again: %(error)s") % {"error": error}, "error")

    def _run(self, what: str, commands: Sequence[Sequence[str]]) -> None:
        for command in commands:
            with self.recovering.step(what, shlex.join(command)):
                for line in run_commands(self.system, [command], self.context.children):
                    self.context.log(line)

    # ------------------------------------------------------------------ back

    def go_back(self, error: BaseException) -> None:
        """After a failure: put back what was overwritten, then start; or leave it stopped. Raises nothing of its
        own but what ends the process, and a job that was taken away."""
        recovering = self.recovering
        recovering.end_state, recovering.hint = Recovery.State.DOWN, self._what_now()
        stopped = recovering.was_stopped(error)
        self.context.go_on()
        self._say(error)
        if recovering.recovery.skip_stop and not self.touched:
            recovering.end_state = Recovery.State.CANCELLED if stopped else Recovery.State.FAILED
            recovering.hint = _("Nothing was stopped, overwritten or started.")
            return
        if self.touched and self.safety is None:
            recovering.afterword = (
                _("There is no safety set to go back to. The application was not stopped by us.")
                if recovering.recovery.never_stopped
                else _("There is no safety set to go back to: the application stays stopped.")
            )
            return
        failures = [text for source in self.touched if (text := self._try_to_put_back(source))]
        if not failures:
            try:
                self.start(self._what_now())
            except Exception as second:  # noqa: BLE001 - whatever it is, the application is not up
                failures = [str(second)]
        if failures:
            recovering.end_state = Recovery.State.DOWN
            recovering.afterword = _("The way back failed too: %(errors)s") % {"errors": " ".join(failures)}
            if recovering.recovery.never_stopped:
                recovering.afterword += " " + _("The application was not stopped by us.")
            return
        untouched = Recovery.State.CANCELLED if stopped else Recovery.State.FAILED
        recovering.end_state = Recovery.State.ROLLED_BACK if self.touched else untouched
        recovering.hint = self._hint_after(error)

    def _try_to_put_back(self, source: Source) -> str:
        """Why it could not be put back; "" if it was. What may pass is tried again for a while."""
        for pause in (*PAUSES, None):
            try:
                self._put_back(source)
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

    def _put_back(self, source: Source) -> None:
        if self.safety is None:
            return
        if source.name not in self.safety.sources:
            raise OperationFailed(
                _("%(source)s: nothing was left of it before, so there is nothing to put back.")
                % {"source": source.name},
                permanent=True,
            )
        place, safety = self.recovering.narrowed(source, _place(self.system, source)), self.safety
        expected = Witness.from_json(safety.sources[source.name]["witness"])
        with self.recovering.step(_("put the safety set back"), place.target):
            self.context.sure()
            self._make_way(place, expected)
            place_source(self.context, safety.readable, by_source(safety.parts)[source.name], place, expected)
        with self.recovering.step(_("compare with the safety set"), place.target):
            found = differences(expected, place.witness())
            self.recovering.note_differences(f"{source.name} ({_('safety set')})", found)

    # ------------------------------------------------------------------ what to do

    def _hint_after(self, error: BaseException) -> str:
        hint = str(getattr(error, "hint", ""))
        if self.safety is None and not self.touched and self.recovering.recovery.safety_set is not None:
            return f"{hint} {_('If what is there is beyond saving, restore again without the safety backup: --without-safety-backup.')}".strip()
        return hint

    def _what_now(self) -> str:
        if not self.touched:
            return f"{_('Nothing was overwritten.')} {self._start_by_hand()}"
        return what_now(self.safety.set if self.safety is not None else None, self._start_by_hand())

    def _start_by_hand(self) -> str:
        return start_by_hand(self.system)


def what_now(safety: Set | None, start: str) -> str:
    """What to do when production may be half restored, and the application is stopped."""
    if safety is None:
        return _("Cure the cause, restore again, then start it. %(start)s") % {"start": start}
    return _(
        "Cure the cause, then restore again, or go back to what was there before, the safety set %(set)s: "
        "manage.py recover full %(system)s --set %(identifier)s --production. %(start)s"
    ) % {"set": safety, "system": safety.system.slug, "identifier": safety.identifier, "start": start}


def _without_stop() -> str:
    return _(
        "If the application is too broken to be stopped, make sure that nothing runs, and restore again without the"
        " stop commands: --without-stop, or the box on the panel's page."
    )


def start_by_hand(system: System) -> str:
    commands = "; ".join(as_typed(system.resume_command))
    return _("Start the application by hand: %(commands)s") % {"commands": commands} if commands else ""


def check_counts(counted: dict[str, int], expected: Witness, found: Witness) -> None:
    """Raises OperationFailed when a critical table has not the number of rows that it had.

    The two witnesses are compared, which count alike (old rows of versioned tables included); `counted` names
    the tables, with or without their schema.
    """
    for table, rows in counted.items():
        for name, known in expected.contents.items():
            if name != table and not name.endswith(f".{table}"):
                continue
            now = found.contents[name].count if name in found.contents else rows
            if known.count != now:
                raise OperationFailed(
                    _("%(table)s has %(found)d rows after the restore, the set has %(known)d.")
                    % {"table": table, "found": now, "known": known.count}
                )


def _safety_plan(recovering: Recovering) -> Plan | None:
    return recovering.set.plan or recovering.set.system.plans.first()


def _safety_row(recovering: Recovering) -> Set:
    plan = _safety_plan(recovering)
    one = Set.objects.create(
        system=recovering.set.system, plan=plan, reason=Set.Reason.SAFETY, state=Set.State.RUNNING, attempt=1,
        identifier=layout.new_identifier(timezone.now(), 1, signing.mark(publish.signing_key().fingerprint)),
        started_at=timezone.now(),
        job=recovering.context.job, encrypted=plan is None or plan.encrypt,
    )  # fmt: skip
    recovering.mine().update(safety_set=one)
    recovering.recovery.safety_set = one
    return one


def _place(system: System, source: Source) -> Engine:
    """The source's own place. The marker of maintenance mode is never touched, whatever its options say."""
    place = engines.build(source.engine, source.options)
    if source.engine != "files" or not system.commands_directory:
        return place
    root = os.path.realpath(place.options["path"])
    markers = [os.path.realpath(os.path.join(system.commands_directory, name)) for name in MARKERS]
    inside = [os.path.relpath(marker, root) for marker in markers if marker.startswith(f"{root}/")]
    return place.replaced(keep=list(dict.fromkeys([*place.options["keep"], *inside])))
