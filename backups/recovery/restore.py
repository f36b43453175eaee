"""Restores sources of a set, beside the originals or over production."""

import logging
import time
from collections.abc import Callable, Sequence

from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext as _

from backups import own_keys
from backups.models import Copy, Recovery, Set, Source
from backups.models.recovery import NOT_STOPPED
from backups.pipe.decode import Damaged
from backups.recovery import approval, beside, foretell, identities, production
from backups.recovery.aftermath import abandon
from backups.recovery.placing import by_source
from backups.recovery.recovering import Recovering
from backups.storage import companions, details, readback
from backups.takes import chains
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import PAUSES
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import Secret, redact
from drcenter.stored import in_english
from drcenter.systems.commands import check_commands

logger = logging.getLogger(__name__)

KIND = "backups.restore"
# The kind of a recovery, as its row has it.
RESTORE = "restore"


def request_beside(
    copy: Copy,
    *,
    sources: Sequence[Source],
    names: dict[str, str],
    requested_by: str,
    identity: Secret | None = None,
) -> Recovery:
    """Ask for a restore into new databases and directories: `names` says which, by source name.

    Raises OperationFailed when a name is missing, or leads to an original, into one, or to the same place twice.
    """
    chosen = chosen_sources(copy, sources)
    beside.check_places(copy.set.system, chosen, names)
    return _request(copy, chosen, Recovery.Place.BESIDE, requested_by, identity, names=names)


def request_production(  # noqa: PLR0913 - all are named
    copy: Copy, *, sources: Sequence[Source], typed_host: str, requested_by: str, user: User | None,
    reason: str = "", skip_safety: bool = False, skip_stop: bool = False,
) -> Recovery:  # fmt: skip
    """Ask for a restore over production: a plan, which waits for a second person (approval.py). Raises
    OperationFailed, and records it, unless `to_type` was typed.

    `user`: who asks, if they have shown which user of the panel they are.
    `skip_safety`: do not back up what is overwritten first; for a source that cannot be read any more.
    `skip_stop`: do not run the stop commands; for an application that is stopped already, or too broken for that.
    """
    chosen, _left_out = overwritable(chosen_sources(copy, sources))
    own_keys.refuse_over_itself(chosen)
    check_typed(copy, chosen, typed_host, requested_by)
    return approval.plan(
        RESTORE, copy, sources=chosen, requested_by=requested_by, user=user, reason=reason,
        typed_host=typed_host, skip_safety=skip_safety, skip_stop=skip_stop,
    )  # fmt: skip


def check_typed(copy: Copy, chosen: Sequence[Source], typed: str, requested_by: str) -> None:
    """Raises OperationFailed, and records it, unless `to_type` of these sources was typed."""
    wanted = to_type(chosen)
    if sorted({word.strip() for word in typed.split(",") if word.strip()}) != wanted:
        with transaction.atomic():
            record(
                requested_by, "backups.restore.refused", copy.set, result=Result.REFUSED, typed=typed[:100]
            )
        raise OperationFailed(
            _("What was typed is not the system and the host of the target."),
            _("Type exactly: %(words)s") % {"words": ", ".join(wanted)}, permanent=True,
        )  # fmt: skip


def describe(recovery: Recovery) -> list[str]:
    """What a restore over production that was planned will do, in order, one sentence each."""
    return describe_production(
        recovery.copy, list(recovery.sources.all()),
        skip_safety=recovery.skip_safety, skip_stop=recovery.skip_stop,
    )  # fmt: skip


def check_before(recovery: Recovery) -> None:
    """Raises OperationFailed for what would end a restore over production before its first step."""
    chosen_sources(recovery.copy, list(recovery.sources.all()))
    check_commands(recovery.copy.set.system, skip_stop=recovery.skip_stop)


def to_type(sources: Sequence[Source]) -> list[str]:
    """What a person types before these are overwritten: "shop@db1" for each host.

    The host alone protects nobody: all local systems have the same one.
    """
    return sorted({f"{source.system.slug}@{source.build().host}" for source in sources})


def describe_production(
    copy: Copy, sources: Sequence[Source], *, skip_safety: bool = False, skip_stop: bool = False
) -> list[str]:
    """What a restore over production will do, in order, one sentence each."""
    chosen, left_out = overwritable(chosen_sources(copy, sources))
    steps = foretell.describe(copy, chosen, skip_safety=skip_safety, skip_stop=skip_stop)
    leaving = _("Leave out %(source)s: %(reason)s")
    return [*steps, *(leaving % {"source": name, "reason": reason} for name, reason in left_out.items())]


def overwritable(sources: Sequence[Source]) -> tuple[list[Source], dict[str, str]]:
    """The sources that a restore over production writes, and why it leaves the others out.

    Raises OperationFailed when it would leave out all.
    """
    left_out = {source.name: reason for source in sources if (reason := source.build().for_reading)}
    chosen = [source for source in sources if source.name not in left_out]
    if not chosen:
        raise OperationFailed(
            _("There is nothing to overwrite: %(reason)s") % {"reason": " ".join(dict.fromkeys(left_out.values()))},
            _("Restore it beside the original."), permanent=True,
        )  # fmt: skip
    return chosen, left_out


def restorable_sources(copy: Copy) -> tuple[list[Source], list[str]]:
    """The sources of the set that still exist here, in the set's order, and the names of those that do not.

    One that has another engine by now is another one.
    """
    held = by_source(list(copy.set.parts.all()))
    known = {source.name: source for source in copy.set.system.sources.all()}
    there = [name for name, parts in held.items() if name in known and known[name].engine == parts[0].engine]
    return [known[name] for name in there], [name for name in held if name not in there]


def chosen_sources(copy: Copy, sources: Sequence[Source]) -> list[Source]:
    """The sources to restore, in the set's order; all of the set for none. Raises OperationFailed for a stranger."""
    if copy.state != Copy.State.COMPLETE:
        raise OperationFailed(
            _("This copy is not complete, or is damaged. Choose another one."), permanent=True
        )
    there, gone = restorable_sources(copy)
    known = [source.name for source in there]
    wanted = [source.name for source in sources] or [*known, *gone]
    for name in wanted:
        if name in gone:
            raise OperationFailed(
                _("The source %(name)s of this set was deleted here, or became another one.")
                % {"name": name},
                _("Choose the others; its own parts are restored by restore.sh, which lies in the set."),
                permanent=True,
            )
        if name not in known:
            raise OperationFailed(
                _("The set has no source %(name)s. It has: %(known)s")
                % {"name": name, "known": ", ".join([*known, *gone])}, permanent=True,
            )  # fmt: skip
    return [source for source in there if source.name in wanted]


def _request(
    copy: Copy,
    sources: Sequence[Source],
    place: str,
    requested_by: str,
    identity: Secret | None,
    **fields: object,
) -> Recovery:
    with transaction.atomic():
        wanted = Recovery.objects.create(copy=copy, place=place, requested_by=requested_by, **fields)
        wanted.sources.set(sources)
        with in_english():
            title = _("Restore %(set)s %(place)s") % {"set": copy.set, "place": wanted.get_place_display()}
        target = f"system:{copy.set.system_id}"
        wanted.job = enqueue(KIND, wanted.pk, target=target, title=title, requested_by=requested_by)
        wanted.save(update_fields=["job"])
        identities.bring(wanted.job, identity)
        record(
            requested_by,
            "backups.restore.requested",
            wanted,
            place=place,
            sources=[one.name for one in sources],
            skip_safety=wanted.skip_safety,
            skip_stop=wanted.skip_stop,
        )
    return wanted


def restore_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: one attempt, never a second one by itself."""
    run(context, pk, _restore)


def run(context: JobContext, pk: int, work: Callable[[Recovering], None]) -> None:
    """Do the `work` of the recovery `pk`, and write down how it ended. Raises what made it fail."""
    won = Recovery.objects.filter(pk=pk, state=Recovery.State.WAITING).update(
        state=Recovery.State.RUNNING, started_at=timezone.now(), job=context.job
    )
    if not won:
        raise OperationFailed(_("This recovery is not waiting any more."), permanent=True)
    recovery = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=pk)
    # What fails in here is written down by `ended`.
    recovering = Recovering(context, recovery)
    try:
        work(recovering)
    except BaseException as error:
        raise _fail(recovering, error) from error
    recovering.recovery.message = " ".join(recovering.warnings)
    undone = recovery.act == Recovery.Act.UNDO
    _finish(recovering, Recovery.State.ROLLED_BACK if undone else Recovery.State.SUCCEEDED)


def _restore(recovering: Recovering) -> None:
    if recovering.recovery.place == Recovery.Place.PRODUCTION:
        recovering.approval = approval.require(recovering.recovery, recovering.chosen)
    if recovering.continues:
        recovering.hint = production.what_now(recovering.recovery)
    if recovering.recovery.act == Recovery.Act.UNDO:
        recovering.identities = identities.brought(recovering.context.job)
        production.undo(recovering)
        return
    one, production_too = recovering.set, recovering.recovery.place == Recovery.Place.PRODUCTION
    if recovering.recovery.copy.state in {Copy.State.REMOVING, Copy.State.REMOVED}:
        raise OperationFailed(_("This copy is being removed: retention has let it go."), permanent=True)
    recovering.identities = identities.brought(recovering.context.job) if one.encrypted else []
    if production_too:
        production.check(recovering)
    else:
        beside.check_room(recovering)
    identities.needed(one.recipients if one.encrypted else [], recovering.identities)
    with recovering.step(
        _("read and check every part"), recovering.recovery.copy.destination.name, key="read"
    ):
        check_parts(recovering)
    if recovering.approval is not None:
        approval.still_granted(recovering.approval)
    if production_too:
        production.restore(recovering)
    else:
        beside.restore(recovering)


def check_parts(recovering: Recovering) -> None:
    """Nothing is touched before all that will be written, and what it will be compared with, is known to be good."""
    copy, one = recovering.readable, recovering.set
    try:
        spoiled: set[str] = set()
        companions.check_there(copy, one, spoiled.add)
        digest = companions.check_digests(copy, one, spoiled.add)
        for name in sorted(spoiled):
            recovering.warn(companions.told(name))
        content = details.read(copy, encrypted=one.encrypted, stored_sha256=digest)
        recovering.details = chains.whole(copy, one, content)
    except Damaged as error:
        note_damage(recovering, error)
        raise
    if recovering.recovery.place == Recovery.Place.PRODUCTION:
        production.check_rights(recovering)
    for part in recovering.all_parts():
        recovering.context.phase(_("reading back"), part.key, part.plain_size)
        try:
            with chains.naming_link(part.key):
                readback.check(recovering.readable, part, recovering.context.advance)
        except Damaged as error:
            note_damage(recovering, error)
            raise


def note_damage(recovering: Recovering, error: Damaged) -> None:
    """The copy is not to be chosen again, neither by a person nor as the newest one of use."""
    copy, reason = recovering.recovery.copy, redact(error.message)
    recovering.hint = chains.what_else(copy, error)
    with transaction.atomic():
        copy.state, copy.level, copy.message = Copy.State.DAMAGED, "", reason
        copy.verified_at = timezone.now()
        copy.save()
        Set.objects.filter(pk=copy.set_id).update(
            level=copy.set.best_level(), level_reason=f"{copy}: {reason}"
        )
        chains.note_link(copy, error, reason)
        chains.tell_dependents(copy.set, f"{copy}: {reason}")
        record(recovering.recovery.requested_by, "backups.restore.damaged", copy, message=reason)


def _fail(recovering: Recovering, error: BaseException) -> BaseException:
    """Write down how it failed; what the job is to be told."""
    stopped = recovering.was_stopped(error)
    state = recovering.end_state or (Recovery.State.CANCELLED if stopped else Recovery.State.FAILED)
    why = _("Stopped on request.") if stopped else getattr(error, "message", "") or _unexpected(error)
    recovery = recovering.recovery
    recovery.message = redact(f"{why} {recovering.afterword}".strip())
    hints = [str(getattr(error, "hint", "")), recovering.hint]
    recovery.hint = redact(" ".join(dict.fromkeys(hint for hint in hints if hint)))
    _finish(recovering, state)
    if not isinstance(error, Exception):
        return error
    if stopped and state != Recovery.State.DOWN:
        return Cancelled()
    return OperationFailed(recovery.message, recovery.hint, permanent=getattr(error, "permanent", False))


def _unexpected(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _finish(recovering: Recovering, state: str) -> None:
    """Write the end, however long the panel's database is away: a good restore must not turn into a failed one.

    Raises OperationFailed when the row was taken away meanwhile.
    """
    recovery = recovering.recovery
    recovery.state, recovery.finished_at = state, timezone.now()
    for pause in (*PAUSES, None):
        try:
            return _write_end(recovering)
        except DatabaseError as error:
            if pause is None:
                raise
            logger.warning("recovery %s: its end cannot be written yet: %s", recovery.pk, error)
            connections.close_all()
            time.sleep(pause)
    return None


def _write_end(recovering: Recovering) -> None:
    recovery = recovering.recovery
    names = ("state", "finished_at", "message", "hint", "steps", "counts", "differences")
    with transaction.atomic():
        if not recovering.mine().update(**{name: getattr(recovery, name) for name in names}):
            raise OperationFailed(
                _("Another attempt has taken this job over; this one stops."), permanent=True
            )
        record(recovery.requested_by, f"backups.restore.{recovery.state}", recovery, message=recovery.message)
        if recovery.mode == Recovery.Mode.REAL:  # Of a drill, people hear what came of it as a whole.
            tell(_event(recovery), _title(recovery, recovery.state), retold(recovery.message, recovery.hint))


def _title(recovery: Recovery, state: str) -> str | Promise:
    """What channels are told, in the language of each."""
    shown = (
        NOT_STOPPED
        if state == Recovery.State.DOWN and recovery.never_stopped
        else Recovery.State(state).label
    )
    return format_lazy("{recovery}: {state}", recovery=recovery, state=shown)


def _event(recovery: Recovery) -> Event:
    if recovery.state != Recovery.State.SUCCEEDED:
        return Event.FAILURE
    return Event.WARNING if recovery.differences or recovery.message else Event.SUCCESS


def ended(job: Job) -> None:
    """After every end of a job: rows that it left unfinished are brought in line. A worker that was lost in the
    middle leaves production stopped, perhaps half restored; the hint says what to do."""
    identities.forget(job)
    states = {State.LOST: Recovery.State.LOST, State.CANCELLED: Recovery.State.CANCELLED}
    state = states.get(State(job.state), Recovery.State.FAILED)
    unfinished = Recovery.objects.filter(
        pk=job.subject, job=job, state__in=[Recovery.State.WAITING, Recovery.State.RUNNING]
    )
    for recovery in unfinished.select_related("copy__set__system", "safety_set__system"):
        if recovery.act != Recovery.Act.RUN and state != Recovery.State.LOST:
            # It never began, or broke off before anything was known: what it was to go on with still is to be.
            state = Recovery.State.DOWN
        safety = recovery.safety_set
        if safety is not None and safety.state == Set.State.RUNNING:
            # Not as lost: that would have the plan take it once more.
            abandon(safety, job, Set.State.FAILED)
        hint = production.hint_after_loss(recovery) or job.hint
        with transaction.atomic():
            if unfinished.update(state=state, finished_at=timezone.now(), message=job.message, hint=hint):
                record("system", f"backups.restore.{state}", recovery, message=job.message)
                if state != Recovery.State.CANCELLED and recovery.mode == Recovery.Mode.REAL:
                    tell(Event.FAILURE, _title(recovery, state), retold(job.message, hint))
