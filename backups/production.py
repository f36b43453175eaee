"""A restore over production: stop, safety backup, restore, check, clean up, start. Never half up.

Once something was overwritten, a failure (or a request to stop) leads back: the safety set is restored with the
ephemeral identity that this attempt still holds, and the application is started. If that fails as well, the
application stays stopped, and the recovery says so.
"""

from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from backups import engines, layout, take
from backups.models import Copy, Part, Recovery, Set, Source
from backups.placing import by_source, place_source
from backups.recovering import Recovering
from backups.taking import Taking
from backups.witness import Witness, differences
from drcenter.errors import OperationFailed
from drcenter.systems.commands import run_commands


def describe(copy: Copy, sources: Sequence[Source]) -> list[str]:
    """What `restore` will do, in order, one sentence each."""
    system = copy.set.system
    shown = [" ".join(words) for words in system.pause_command]
    lines = [_("Read every part of the copy at %(place)s and check it.") % {"place": copy.destination}]
    lines += [_("Stop the application: %(command)s") % {"command": command} for command in shown]
    if not shown:
        lines.append(_("The application is NOT stopped: the system has no stop commands."))
    lines.append(_("Back up what is there now, as a safety set, to go back to."))
    lines += [
        _("Overwrite %(target)s on %(host)s.") % {"target": engine.target, "host": engine.host}
        for engine in (source.build() for source in sources)
    ]
    lines.append(_("Compare with the witness of the set, and count the critical tables."))
    lines += [
        _("Clean up: %(command)s") % {"command": " ".join(words)} for words in system.after_restore_command
    ]
    lines += [
        _("Start the application: %(command)s") % {"command": " ".join(words)}
        for words in system.resume_command
    ]
    lines.append(
        _(
            "If a step fails: put the safety set back and start the application, or leave it stopped and say so."
        )
    )
    return lines


def restore(recovering: Recovering) -> None:
    """Do it. Raises what made it fail, with `recovering.end_state` saying how things were left."""
    safety: Taking | None = None
    touched: list[Source] = []
    try:
        _stop(recovering)
        safety = _save(recovering)
        for source, parts in recovering.sources():
            touched.append(source)
            _overwrite(recovering, source, parts)
        _clean_up(recovering)
    except BaseException as error:
        _go_back(recovering, safety, touched, error)
        raise
    _start(recovering)


def _stop(recovering: Recovering) -> None:
    system = recovering.set.system
    for command in system.pause_command:
        with recovering.step(_("stop"), " ".join(command)):
            run_commands(system, [command], recovering.context.children)


def _save(recovering: Recovering) -> Taking | None:
    """The safety set of what is about to be overwritten; its ephemeral identity stays in memory for the way back."""
    if recovering.recovery.skip_safety:
        recovering.context.log(_("Without a safety backup, as asked for: there is no way back."), "warning")
        return None
    plan = recovering.set.plan or recovering.set.system.plans.first()
    one = Set.objects.create(
        system=recovering.set.system, plan=plan, reason=Set.Reason.SAFETY, state=Set.State.RUNNING, attempt=1,
        identifier=layout.new_identifier(timezone.now(), 1), started_at=timezone.now(),
        job=recovering.context.job, encrypted=plan.encrypt if plan else True,
    )  # fmt: skip
    Recovery.objects.filter(pk=recovering.recovery.pk).update(safety_set=one)
    recovering.recovery.safety_set = one
    taking = Taking(recovering.context, one)
    with recovering.step(_("safety backup"), str(one)):
        try:
            take.store_set(taking, [source for source, _parts in recovering.sources()])
        except OperationFailed as error:
            take.fail(taking, error)
            hint = _("If what is there is beyond saving, restore again without the safety backup.")
            raise OperationFailed(
                error.message, f"{error.hint} {hint}".strip(), permanent=error.permanent
            ) from error
        except BaseException as error:
            take.fail(taking, error)
            raise
    return taking


def _overwrite(recovering: Recovering, source: Source, parts: Sequence[Part]) -> None:
    place = engines.build(source.engine, source.options)
    expected = Witness.from_json(recovering.details["sources"][source.name]["witness"])
    with recovering.step(_("overwrite"), f"{place.target} @ {place.host}"):
        place.prepare(overwrite=True)
        place_source(recovering.context, recovering.readable, parts, place, expected)
    with recovering.step(_("compare"), place.target):
        recovering.note_differences(source, differences(expected, place.witness()))
    with recovering.step(_("count the critical tables"), place.target):
        recovering.count(source, place)
        _check_counts(recovering, source, expected)


def _check_counts(recovering: Recovering, source: Source, expected: Witness) -> None:
    """Raises OperationFailed when a critical table has not the number of rows that it had."""
    for table, rows in recovering.recovery.counts.get(source.name, {}).items():
        known = expected.contents.get(table)
        if known is not None and known.count != rows:
            raise OperationFailed(
                _("%(table)s has %(found)d rows after the restore, the set has %(known)d.")
                % {"table": table, "found": rows, "known": known.count}
            )


def _clean_up(recovering: Recovering) -> None:
    system = recovering.set.system
    for command in system.after_restore_command:
        with recovering.step(_("clean up"), " ".join(command)):
            run_commands(system, [command], recovering.context.children)


def _start(recovering: Recovering) -> None:
    system = recovering.set.system
    recovering.end_state = Recovery.State.DOWN
    for command in system.resume_command:
        with recovering.step(_("start"), " ".join(command)):
            run_commands(system, [command], recovering.context.children)
    recovering.end_state = ""


def _go_back(
    recovering: Recovering, safety: Taking | None, touched: Sequence[Source], error: BaseException
) -> None:
    """After a failure: put back what was overwritten, then start; or leave it stopped."""
    recovering.end_state = Recovery.State.DOWN
    recovering.context.go_on()
    recovering.context.log(str(error) or type(error).__name__, "error")
    if touched and safety is None:
        recovering.context.log(
            _("There is no safety set to go back to: the application stays stopped."), "error"
        )
        return
    try:
        for source in touched:
            _put_back(recovering, safety, source)
        _start(recovering)
    except OperationFailed as second:
        recovering.end_state = Recovery.State.DOWN
        recovering.context.log(_("The way back failed too: %(error)s") % {"error": second}, "error")
        return
    cancelled = recovering.context.cancelled and not touched
    recovering.end_state = (
        Recovery.State.ROLLED_BACK
        if touched
        else Recovery.State.CANCELLED
        if cancelled
        else Recovery.State.FAILED
    )


def _put_back(recovering: Recovering, safety: Taking | None, source: Source) -> None:
    if safety is None:
        return
    place = source.build()
    parts = by_source(safety.parts)[source.name]
    expected = Witness.from_json(safety.sources[source.name]["witness"])
    with recovering.step(_("put the safety set back"), place.target):
        place.prepare(overwrite=True)
        place_source(recovering.context, safety.readable, parts, place, expected)
