"""Holds a drill: asked for by a person or a schedule, run by a worker, concluded with signed evidence."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import pyrage
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import exposed
from backups.drills import evidence
from backups.drills.rehearse import Result, rehearse
from backups.models import Copy, Drill, DrillSchedule, Recovery, Source
from backups.recovery import identities, restore
from backups.recovery.recovering import Recovering
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import Secret, resolve
from drcenter.stored import in_english

logger = logging.getLogger(__name__)

KIND = "backups.drill"
CONCLUDED = {
    Drill.Outcome.PASSED: (Event.SUCCESS, gettext_lazy("{system}: the drill passed")),
    Drill.Outcome.FAILED: (Event.FAILURE, gettext_lazy("{system}: the drill failed")),
    Drill.Outcome.SKIPPED: (Event.FAILURE, gettext_lazy("{system}: the drill was skipped")),
}


def request(  # noqa: PLR0913 - all but one are named
    copy: Copy, *, requested_by: str, sources: Sequence[Source] = (), identity: Secret | None = None,
    schedule: DrillSchedule | None = None, planned_at: datetime | None = None,
) -> Drill:  # fmt: skip
    """Ask for a drill of a copy; a worker holds it. Raises OperationFailed when it could not even begin.

    One at a time for each system: its drill that is under way refuses a second one.
    """
    chosen = restore.chosen_sources(copy, sources)
    system = copy.set.system
    if copy.set.encrypted:
        identities.needed(copy.set.recipients, _at_hand(identity, schedule))
    try:
        with transaction.atomic():
            recovery = Recovery.objects.create(
                copy=copy, mode=Recovery.Mode.DRILL, place=Recovery.Place.SCRATCH, requested_by=requested_by
            )
            recovery.sources.set(chosen)
            drill = Drill.objects.create(
                system=system, set=copy.set, recovery=recovery, schedule=schedule, planned_at=planned_at,
                requested_by=requested_by,
            )  # fmt: skip
            with in_english():
                title = _("Drill: %(set)s") % {"set": copy.set}
            # A target of its own: a real recovery never waits for a drill.
            recovery.job = enqueue(
                KIND, recovery.pk, target=f"drill:{system.pk}", title=title, requested_by=requested_by
            )
            recovery.save(update_fields=["job"])
            identities.bring(recovery.job, identity)
            record(
                requested_by, "backups.drill.requested", drill, set=copy.set.identifier,
                sources=[one.name for one in chosen],
            )  # fmt: skip
    except IntegrityError:
        raise OperationFailed(
            _("A drill of %(system)s is under way already.") % {"system": system.name},
            _("Wait for its end, or cancel its job."),
        ) from None
    return drill


def skip(schedule: DrillSchedule, planned_at: datetime, error: OperationFailed) -> None:
    """Write down, and tell, that a drill that should have been held could not begin. Call it in a transaction."""
    now = timezone.now()
    drill = Drill.objects.create(
        system=schedule.system, schedule=schedule, planned_at=planned_at, requested_by="schedule",
        outcome=Drill.Outcome.SKIPPED, message=error.message, hint=error.hint, finished_at=now,
    )  # fmt: skip
    _tell(drill)


def _at_hand(identity: Secret | None, schedule: DrillSchedule | None) -> list[pyrage.x25519.Identity]:
    """The identities that a drill has. Raises OperationFailed for a reference that leads nowhere, or to none."""
    if identity is not None and identity.reveal().strip():
        return identities.parse(identity.reveal())
    if schedule is not None and schedule.identity:
        return identities.parse(resolve(schedule.identity).reveal())
    return identities.for_drills()


def drill_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: one attempt. `pk` is that of the recovery."""
    drill = Drill.objects.select_related("system", "schedule", "set").get(recovery_id=pk)
    drill.started_at = timezone.now()
    result = Result()
    try:
        restore.run(context, pk, partial(_work, drill, result))
    except BaseException as error:
        with suppress(DatabaseError):  # `ended` concludes it then.
            _conclude(drill, result, error)
        raise
    _conclude(drill, result, None)


def _work(drill: Drill, result: Result, recovering: Recovering) -> None:
    if not Drill.objects.open().filter(pk=drill.pk).update(started_at=drill.started_at):
        raise OperationFailed(_("This drill is not waiting any more."), permanent=True)
    one = recovering.set
    if recovering.recovery.copy.state != Copy.State.COMPLETE:
        raise OperationFailed(
            _("This copy is not complete, or is damaged. Choose another one."), permanent=True
        )
    if one.encrypted:
        recovering.identities = _brought(drill, recovering.context.job)
    identities.needed(one.recipients if one.encrypted else [], recovering.identities)
    rehearse(recovering, result, _before(drill))


def _brought(drill: Drill, job: Job) -> list[pyrage.x25519.Identity]:
    """A person's first, then the schedule's, then this machine's."""
    person = identities.brought_by_person(job)
    return person or _at_hand(None, drill.schedule)


def _before(drill: Drill) -> Mapping[str, Mapping[str, int]]:
    """Rows of tables in the last good drill of the system, by source."""
    last = Drill.objects.passed().filter(system=drill.system).order_by("-finished_at").first()
    return last.counts if last is not None else {}


def _conclude(drill: Drill, result: Result, error: BaseException | None) -> None:
    """Write down what came of it, once: figures, evidence, trail, and what people are told."""
    drill.outcome = _outcome(error)
    drill.message = _why(error)
    drill.hint = str(getattr(error, "hint", ""))
    _close(drill, result)


def _outcome(error: BaseException | None) -> Drill.Outcome:
    if error is None:
        return Drill.Outcome.PASSED
    stopped = isinstance(error, Cancelled | KeyboardInterrupt)
    return Drill.Outcome.CANCELLED if stopped else Drill.Outcome.FAILED


def _why(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return _("Stopped on request.")
    return str(getattr(error, "message", "")) or f"{type(error).__name__}: {error}"


def _close(drill: Drill, result: Result) -> None:
    drill.finished_at = timezone.now()
    _measure(drill, result)
    drill.recovery = Recovery.objects.select_related("copy__destination").get(drill=drill)
    drill.classes = exposed.achieved(drill)
    try:
        evidence.sign(drill)
    except OperationFailed as unsigned:
        # Without a signature it is no evidence, and the drill is no good one: nobody could show it.
        drill.outcome = Drill.Outcome.FAILED
        drill.message = f"{unsigned.message} {drill.message}".strip()
        drill.hint = unsigned.hint
    names = [field.name for field in Drill._meta.concrete_fields if field.name not in {"id", "recorded_at"}]
    with transaction.atomic():
        if not Drill.objects.select_for_update().filter(pk=drill.pk, outcome=Drill.Outcome.OPEN).exists():
            return  # Concluded already: it was given up, and woke up again.
        drill.save(update_fields=names)
        _tell(drill)


def _measure(drill: Drill, result: Result) -> None:
    drill.sources, drill.checks, drill.counts = result.sources, result.checks, result.counts
    drill.reservations, drill.machine_seconds = result.reservations, result.machine_seconds
    began = drill.started_at or drill.created_at
    drill.waited_seconds = round(max(0.0, (began - drill.created_at).total_seconds()), 2)
    moments = [datetime.fromisoformat(one["moment"]) for one in result.sources.values()]
    if moments and drill.machine_seconds is not None:
        drill.lost_seconds = round(max(0.0, (began - min(moments)).total_seconds()), 2)


def _tell(drill: Drill) -> None:
    facts: dict[str, Any] = {"message": drill.message} if drill.message else {}
    facts |= {"evidence_sha256": drill.evidence_sha256} if drill.evidence_sha256 else {}
    record(drill.requested_by, f"backups.drill.{drill.outcome}", drill, **facts)
    if drill.outcome in CONCLUDED:
        event, title = CONCLUDED[Drill.Outcome(drill.outcome)]
        tell(event, format_lazy(title, system=drill.system.name), retold(drill.message, drill.hint))


def ended(job: Job) -> None:
    """After every end of a job: a drill whose worker was lost, or that was cancelled while it waited, has an end."""
    restore.ended(job)
    identities.forget(job)
    drill = Drill.objects.open().select_related("system", "set").filter(recovery_id=job.subject).first()
    if drill is None:
        return
    cancelled = job.state == "cancelled"
    drill.outcome = Drill.Outcome.CANCELLED if cancelled else Drill.Outcome.FAILED
    drill.message, drill.hint = job.message or _("Its worker was lost."), job.hint
    _close(drill, Result())
