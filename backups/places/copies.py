"""Makes up for copies that are missing: their destination was away, was added later, or somebody asks for one.

One job for each destination works through what it lacks, from the stored bytes of another copy. A destination that
fails is left alone for a while, longer each time; nothing is given up while the set exists.
"""

import random
from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import verify
from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import NotThere, Role
from backups.models import Copy, Destination, Level, Plan, Set
from backups.models.level import RANK, at_least
from backups.pipe.decode import Damaged
from backups.pipe.stream import Pace
from backups.places import copying
from backups.places.copy_order import Missing, order
from backups.recovery.aftermath import withdraw_copy
from backups.storage import recording
from backups.storage.readback import ReadableCopy, Unreadable
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job, State
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.copy"
# How long a destination that failed is left alone: doubled each time, and varied by a quarter.
FIRST, LONGEST = timedelta(minutes=2), timedelta(hours=1)


# ---------------------------------------------------------------------------- what is missing


def missing(destination: Destination) -> QuerySet[Copy]:
    """The copies that the destination is to get: asked for, or of a plan that keeps its sets there."""
    copies = Copy.objects.filter(destination=destination, set__state=Set.State.COMPLETE, set__foreign=False)
    copies = copies.exclude(set__job__state__in=OPEN)
    planned = Q(state=Copy.State.FAILED, set__plan__destinations=destination)
    return copies.filter(Q(state=Copy.State.WAITING) | planned).select_related("set__system", "set__plan")


def request(one: Set, destination: Destination, *, requested_by: str) -> Copy:
    """Ask for a copy of the set there. Raises OperationFailed when it cannot be, or is there already."""
    if one.state != Set.State.COMPLETE or not one.copies.filter(state=Copy.State.COMPLETE).exists():
        raise OperationFailed(_("This set has no complete copy to copy from."), permanent=True)
    if not destination.enabled:
        raise OperationFailed(_("This destination is switched off."), permanent=True)
    with transaction.atomic():
        copy, _new = Copy.objects.select_for_update().get_or_create(
            set=one, destination=destination, defaults={"state": Copy.State.WAITING}
        )
        if copy.state in {Copy.State.COMPLETE, Copy.State.WRITING, Copy.State.REMOVING}:
            raise OperationFailed(
                _("%(copy)s is %(state)s.") % {"copy": copy, "state": copy.get_state_display()},
                permanent=True,
            )
        Copy.objects.filter(pk=copy.pk).update(state=Copy.State.WAITING, level="", message="")
        record(requested_by, "backups.copy.requested", copy)
        # Somebody wants it now: the destination is tried at once.
        Destination.objects.filter(pk=destination.pk).update(retry_at=None)
        enqueue_copying(destination, requested_by)
    copy.refresh_from_db()
    return copy


def request_newest(plan: Plan, destination: Destination, count: int, *, requested_by: str) -> list[Copy]:
    """Ask for the newest good sets of the plan that are not there yet, `count` of them at most, and what they need."""
    good = plan.sets.complete().ours().filter(copies__state=Copy.State.COMPLETE, capped=False, apart=False)
    newest = [one for one in good.distinct().order_by("-moment") if at_least(one.level, plan.level)][:count]
    needed = {need.pk: need for one in newest for need in one.needs.all()}
    there = set(destination.copies.filter(state=Copy.State.COMPLETE).values_list("set", flat=True))
    wanted = {one.pk: one for one in [*needed.values(), *newest] if one.pk not in there}
    return [request(one, destination, requested_by=requested_by) for one in wanted.values()]


def enqueue_copying(destination: Destination, requested_by: str = "system") -> Job:
    """One job at a time works for a destination; one that waits already takes what is new along."""
    with in_english():
        title = _("Make up for copies at %(destination)s") % {"destination": destination}
    return enqueue(
        KIND, destination.pk, target=f"copies:{destination.pk}", title=title, requested_by=requested_by
    )


def make_up_due() -> None:
    """A tick: each destination that lacks something, and may be tried again."""
    now = timezone.now()
    places = Destination.objects.filter(enabled=True).exclude(retry_at__gt=now)
    for place in places.exclude(pk__in=_busy()):
        if missing(place).exists() or _unrecorded(place).exists():
            enqueue_copying(place)


def _busy() -> list[int]:
    return list(Job.objects.filter(kind=KIND, state__in=OPEN).values_list("subject", flat=True))


def _unrecorded(destination: Destination) -> QuerySet[Copy]:
    return recording.outstanding().filter(destination=destination)


# ---------------------------------------------------------------------------- how a destination fares


def failed(destination: Destination, error: OperationFailed) -> None:
    """Leave it alone for a while."""
    row = Destination.objects.get(pk=destination.pk)
    pause = min(FIRST * 2 ** min(row.failures, 10), LONGEST) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
    Destination.objects.filter(pk=row.pk).update(
        failures=row.failures + 1,
        retry_at=timezone.now() + pause,
        fault=redact(f"{error.message} {error.hint}".strip()),
    )


def answered(destination: Destination) -> None:
    Destination.objects.filter(pk=destination.pk).exclude(failures=0, retry_at=None).update(
        failures=0, retry_at=None, fault=""
    )


def left_alone(destination: Destination) -> bool:
    """True while it is not worth trying: it failed a moment ago."""
    return Destination.objects.filter(pk=destination.pk, retry_at__gt=timezone.now()).exists()


# ---------------------------------------------------------------------------- the work


def copy_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: all that the destination `pk` lacks. Raises OperationFailed when it is away."""
    place = Destination.objects.filter(pk=pk, enabled=True).first()
    if place is None:
        raise OperationFailed(_("Its destination does not exist any more."), permanent=True)
    try:
        plugin = place.build()
        next(iter(plugin.list("drcenter-is-it-there/")), None)
    except OperationFailed as error:
        failed(place, error)
        raise
    without_source = [copy for copy in _in_order(place) if not _make_up(context, copy, plugin)]
    for copy in _unrecorded(place):
        context.phase(_("recording"), str(copy))
        recording.record_news(copy)
    answered(place)
    if without_source:
        raise OperationFailed(
            _("%(count)d copies could not be made: no other copy of their sets can be read.")
            % {"count": len(without_source)},
            _("Their pages say why. They are tried again."),
        )


def _in_order(place: Destination) -> Iterator[Copy]:
    copies = {copy.set_id: copy for copy in missing(place).prefetch_related("set__needs").distinct()}
    facts = [
        Missing(
            copy.set_id, copy.set.plan_id or 0, copy.set.moment or copy.set.created_at, _good(copy.set),
            frozenset(need.pk for need in copy.set.needs.all()),
        )
        for copy in copies.values()
    ]  # fmt: skip
    return (copies[key] for key in order(facts))


def _good(one: Set) -> bool:
    return not one.capped and (one.plan is None or at_least(one.level, one.plan.level))


def _make_up(context: JobContext, copy: Copy, target: DestinationPlugin) -> bool:
    """Copy the set there, from the first of its copies that can be read. False when there is none.

    Raises OperationFailed when the target fails: it is left alone for a while then, and so is the rest.
    """
    claimed = Copy.objects.filter(pk=copy.pk, state=copy.state)
    if not claimed.update(state=Copy.State.WRITING, job=context.job):
        return True  # Somebody else has dealt with it.
    context.phase(_("copying"), str(copy), copy.set.stored_size)
    reason = _("There is no other copy that is complete.")
    for source in _sources(copy):
        try:
            _copy(context, copy, source, target)
        except (Damaged, NotThere, Unreadable) as error:
            context.log(f"{source}: {error}", "error")
            reason = f"{source}: {error.message}"
            if not isinstance(error, Unreadable):
                verify.request(source, Level.INTACT, requested_by="system")
            continue
        except BaseException as error:
            reason = str(getattr(error, "message", "")) or type(error).__name__
            _put_back(context, copy, reason, keep=_may_go_on(context, error))
            if isinstance(error, OperationFailed) and not context.cancelled:
                failed(copy.destination, error)
            raise
        return True
    _put_back(context, copy, reason)
    failed(copy.destination, OperationFailed(reason))
    return False


def _sources(copy: Copy) -> list[Copy]:
    """The other complete copies, the best known first."""
    others = copy.set.copies.filter(state=Copy.State.COMPLETE).exclude(pk=copy.pk)
    return sorted(others.select_related("destination", "set__system"), key=lambda one: -RANK[one.level])


def _copy(context: JobContext, copy: Copy, source: Copy, target: DestinationPlugin) -> None:
    plan = copy.set.plan
    pace = Pace(plan.bandwidth_mib * 1024 * 1024 if plan and plan.bandwidth_mib else None)

    def advance(count: int) -> None:
        context.advance(count)
        pace.wait(count)

    readable = ReadableCopy(source.destination.build(Role.READ), copy.set.prefix)
    copying.copy(readable, target, advance, context.sure, go_on=True)
    _end(context, copy, state=Copy.State.COMPLETE, level=Level.STORED, verified_at=timezone.now(), message="")
    context.log(_("%(copy)s: complete, from %(source)s") % {"copy": copy, "source": source.destination})


def _end(context: JobContext, copy: Copy, **fields: object) -> None:
    """Write how it ended, unless the job was taken away: then what is there is withdrawn. Raises OperationFailed then."""
    with transaction.atomic():
        mine = context.mine().select_for_update().exists()
        # Retention may have let the set go meanwhile.
        there = Set.objects.select_for_update().filter(pk=copy.set_id, state=Set.State.COMPLETE).exists()
        written = (
            mine
            and there
            and Copy.objects.filter(pk=copy.pk, state=Copy.State.WRITING, job=context.job).update(**fields)
        )
        if written:
            record("system", "backups.copy.completed", copy)
    if not written:
        withdraw_copy(copy, copy.set.prefix)
        raise OperationFailed(_("Another attempt has taken this copy over."), permanent=True)


def _may_go_on(context: JobContext, error: BaseException) -> bool:
    """Whether the next try can go on with what is there: the workers are stopped, or the failure may pass."""
    if context.reason:
        return context.reason == "workers"
    return isinstance(error, OperationFailed) and not error.permanent


def _put_back(context: JobContext, copy: Copy, reason: str, *, keep: bool = False) -> None:
    """It waits again; nothing half of it is left, unless it is kept to go on with."""
    left = "" if keep else withdraw_copy(copy, copy.set.prefix)
    mine = Copy.objects.filter(pk=copy.pk, state=Copy.State.WRITING, job=context.job)
    mine.update(state=Copy.State.WAITING, message=redact(f"{reason} {left}".strip()))


def ended(job: Job) -> None:
    """After a job: what it was writing waits again. A lost worker's copy is gone on with."""
    open_ones = Copy.objects.filter(job=job, state=Copy.State.WRITING).select_related(
        "set__system", "destination"
    )
    for copy in open_ones:
        left = "" if job.state == State.LOST else withdraw_copy(copy, copy.set.prefix)
        Copy.objects.filter(pk=copy.pk, job=job, state=Copy.State.WRITING).update(
            state=Copy.State.WAITING, message=redact(f"{job.message} {left}".strip())
        )
