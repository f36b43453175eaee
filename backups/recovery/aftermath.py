"""What follows a take that did not end well: the row says so, storage is cleaned, the plan may try again.

The row is brought in line first, by conditional updates that name the attempt or its job; storage is cleaned
after that. So a set that the row calls complete is never removed, and a call that was cut off can come again.
"""

import logging

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import Destination as DestinationPlugin
from backups.models import Copy, Level, Set, Verification
from backups.storage import layout, recording
from backups.takes.taking import KIND, Taking, enqueue_take
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact

logger = logging.getLogger(__name__)

UNFINISHED = (Set.State.WAITING, Set.State.RUNNING)
# A plan tries a lost run once more.
TRIES = 2


def fail(taking: Taking, error: BaseException) -> None:
    """Bring the row and the store in line with what happened; the error itself goes on to the job."""
    if taking.context.reason == "lost":
        _lost(taking)
        return
    cancelled = isinstance(error, Cancelled) or taking.context.cancelled
    if taking.published or not _note(taking, error, cancelled=cancelled):
        _unfinished(taking, error, cancelled=cancelled)
        return
    leftover = withdraw(taking.destination_or_none, taking.set.prefix)
    if leftover:
        taking.context.log(leftover, "warning")
        one = Set.objects.get(pk=taking.set.pk)
        Set.objects.filter(pk=one.pk, attempt=taking.set.attempt).update(message=f"{one.message} {leftover}")


def _lost(taking: Taking) -> None:
    """The rows belong to others by now, who have cleaned up. What this attempt stored after that goes, but nothing
    that a row calls complete. While the database cannot be asked, it stays for a sweep."""
    try:
        complete = Set.objects.filter(
            pk=taking.set.pk, attempt=taking.set.attempt, state=Set.State.COMPLETE
        ).exists()
        broken_off = Copy.objects.filter(set=taking.set, state__in=[Copy.State.WRITING, Copy.State.FAILED])
        others = list(broken_off.select_related("destination")) if complete else []
    except DatabaseError as error:
        logger.warning("%s: what it left is not removed, for the database is away: %s", taking.set, error)
        return
    if not complete and not taking.published:
        withdraw(taking.destination_or_none, taking.set.prefix)
    for copy in others:
        withdraw_copy(copy, taking.set.prefix)
        Copy.objects.filter(pk=copy.pk, state=Copy.State.WRITING).update(
            state=Copy.State.FAILED, message=_("Another attempt has taken this job over; this one stops.")
        )


def _note(taking: Taking, error: BaseException, *, cancelled: bool) -> bool:
    """Write down how the attempt ended. False if the row says that it is complete, or of another attempt."""
    state = Set.State.CANCELLED if cancelled else Set.State.FAILED
    message = _("Stopped on request.") if cancelled else _message(error)
    with transaction.atomic():
        mine = Set.objects.filter(pk=taking.set.pk, attempt=taking.set.attempt, state=Set.State.RUNNING)
        won = mine.update(
            state=state, finished_at=timezone.now(), message=message,
            hint=redact(getattr(error, "hint", "")), findings=taking.findings,
        )  # fmt: skip
        if won:
            taking.set.copies.filter(state=Copy.State.WRITING).update(state=Copy.State.FAILED)
            actor = taking.context.job.requested_by
            record(actor, f"backups.take.{state}", taking.set, message=message)
            if not cancelled:
                title = format_lazy(gettext_lazy("{plan}: the backup failed"), plan=taking.plan)
                tell(Event.FAILURE, title, retold(message, redact(getattr(error, "hint", ""))))
    return bool(won)


def _message(error: BaseException) -> str:
    return redact(getattr(error, "message", "") or f"{type(error).__name__}: {error}")


def _unfinished(taking: Taking, error: BaseException, *, cancelled: bool) -> None:
    """The set exists and is intact; only what should have come after it did not happen."""
    one = Set.objects.get(pk=taking.set.pk)
    if one.attempt != taking.set.attempt or one.state != Set.State.COMPLETE:
        withdraw(taking.destination_or_none, taking.set.prefix)
        return
    Set.objects.filter(pk=one.pk).update(findings=taking.findings, timings=taking.timings)
    reason = _("Stopped on request.") if cancelled else _message(error)
    _break_off(
        one, _("The set is complete, but what follows was not finished: %(reason)s") % {"reason": reason}
    )
    if not cancelled:
        with transaction.atomic():
            tell(Event.WARNING, format_lazy(gettext_lazy("{set}: not finished"), set=one), retold(reason))


def _break_off(one: Set, reason: str) -> None:
    """End what still runs on a set whose worker has ended: the proof, and copies to other destinations."""
    if one.state == Set.State.COMPLETE and one.level != Level.PROVEN and not one.capped:
        Set.objects.filter(pk=one.pk).update(level_reason=reason)
    Verification.objects.filter(copy__set=one, job=one.job, state=Verification.State.RUNNING).update(
        state=Verification.State.FAILED, finished_at=timezone.now(), message=reason
    )
    for copy in one.copies.select_related("destination").filter(state=Copy.State.WRITING):
        message = f"{reason} {withdraw_copy(copy, one.prefix)}".strip()
        still = one.copies.filter(pk=copy.pk, state=Copy.State.WRITING)
        still.update(state=Copy.State.FAILED, message=message)


def withdraw_copy(copy: Copy, prefix: str) -> str:
    """Remove what an attempt left of a copy; a sentence for the row if that failed."""
    try:
        return withdraw(copy.destination.build(), prefix)
    except OperationFailed as error:
        return _not_removed(error)


def withdraw(destination: DestinationPlugin | None, prefix: str) -> str:
    """Remove what an attempt left in its folder; a sentence for the row if that failed.

    The manifest goes first: what is half removed is no set.
    """
    if destination is None:
        return ""
    try:
        destination.abort(prefix)
        keys = [stored.key for stored in destination.list(prefix)]
        for key in sorted(keys, key=lambda key: key != prefix + layout.MANIFEST):
            destination.delete(key)
    except OperationFailed as error:
        return _not_removed(error)
    return ""


def _not_removed(error: OperationFailed) -> str:
    return _("What it had stored could not be removed (%(error)s); it is swept later.") % {
        "error": redact(error.message)
    }


def ended(job: Job) -> None:
    """After a job: a set that it left unfinished is brought in line; one that exists is recorded. Safe to call again."""
    _bring_in_line(job)
    recording.after_job(Q(set=job.subject))


def _bring_in_line(job: Job) -> None:
    if job.state not in {State.LOST, State.CANCELLED, State.FAILED}:
        return
    ends = {State.LOST: Set.State.LOST, State.CANCELLED: Set.State.CANCELLED}
    state = ends.get(State(job.state), Set.State.FAILED)
    if job.cancel_requested_by:
        state = Set.State.CANCELLED
    for one in Set.objects.select_related("plan", "system").filter(pk=job.subject):
        abandon(one, job, state)


def abandon(one: Set, job: Job, state: str) -> None:
    """Bring a set in line whose job did not end by itself. A set that another job has by now is left alone."""
    with transaction.atomic():
        mine = Set.objects.filter(pk=one.pk, job=job, state__in=UNFINISHED)
        won = mine.update(state=state, finished_at=timezone.now(), message=job.message, hint=job.hint)
        if won:
            record("system", f"backups.take.{state}", one, message=job.message)
            _tell_abandoned(one, job, state)
    one.refresh_from_db()
    if one.job_id != job.pk:
        return
    _break_off(one, _("The worker ended before it was finished: %(reason)s") % {"reason": job.message})
    if job.state == State.LOST and one.state != Set.State.COMPLETE:
        # A call that was cut off may have left more than its copies that were being written.
        for copy in one.copies.select_related("destination"):
            withdraw_copy(copy, one.prefix)
    if one.state == Set.State.LOST and job.kind == KIND:
        _try_again(one)


def _tell_abandoned(one: Set, job: Job, state: str) -> None:
    if state == Set.State.LOST:
        title = format_lazy(gettext_lazy("{plan}: the worker was lost"), plan=one.plan)
        tell(Event.FAILURE, title, retold(job.message))
    elif state == Set.State.FAILED:
        title = format_lazy(gettext_lazy("{plan}: the backup failed"), plan=one.plan)
        tell(Event.FAILURE, title, retold(job.message))


def _try_again(one: Set) -> None:
    """Once, if the plan wants it: a new attempt of the same set, for the same planned time."""
    if one.plan is None or not one.plan.retry_lost:
        return
    with transaction.atomic():
        if Job.objects.filter(kind=KIND, subject=one.pk).count() >= TRIES:
            return
        lost = Set.objects.filter(pk=one.pk, state=Set.State.LOST, attempt=one.attempt)
        if lost.update(state=Set.State.WAITING):
            one.copies.all().delete()
            job = enqueue_take(one, "system")
            Set.objects.filter(pk=one.pk).update(job=job)
            record("system", "backups.take.retried", one)
