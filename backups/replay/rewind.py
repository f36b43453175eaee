"""Brings a source back as of a point in time: into a scratch server first, always.

There it is looked at, for as long as was asked for; then it ends, or becomes a set, which is restored beside or over
production like every other. Whatever dies on the way leaves nothing: the scratch server ends with its process, its
directory is swept, a set that was being stored is withdrawn.
"""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.logs.read import SegmentLost
from backups.models import Recovery, Set, Source
from backups.pipe.decode import Damaged
from backups.recovery import aftermath, restore
from backups.recovery import identities as people
from backups.recovery.recovering import Recovering
from backups.replay import bases, keep, words
from backups.replay.plan import Plan, Unreachable
from backups.replay.point import Point
from backups.replay.scratch import as_of, best_copy
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.secrets import Secret
from drcenter.stored import in_english

KIND = "backups.replay"
# A look at the scratch server never holds up a worker for longer.
LONGEST_MINUTES = 240
LOOK_SECONDS = 1.0
# Tables that are counted for a look.
COUNTED = 200


def plan_for(known: bases.Known, point: Point) -> Plan:
    """Raises OperationFailed that says why not, and what can be had instead."""
    zone = ZoneInfo(known.source.system.time_zone)
    target = point.target
    if known.stream is None:
        raise OperationFailed(
            _("The log of %(source)s is not archived.") % {"source": known.source},
            _(
                "Start a log stream for it. Without one, only the moments of its sets can be restored: recover full."
            ),
            permanent=True,
        )
    try:
        return known.plan(target)
    except Unreachable as found:
        raise words.refusal(found, zone, target.moment) from None


def request(source: Source, point: Point, *, requested_by: str, identity: Secret | None = None) -> Recovery:
    """Ask for it; a worker does it. Raises OperationFailed when no way leads there."""
    known = bases.of(source)
    plan = plan_for(known, point)
    point.note(plan)
    point.keep_minutes = max(0, min(point.keep_minutes, LONGEST_MINUTES))
    base, based_on = known.based_on(plan)
    copy = best_copy(base)
    with transaction.atomic():
        wanted = Recovery.objects.create(
            copy=copy, place=Recovery.Place.SCRATCH, requested_by=requested_by, point=point.as_json()
        )
        wanted.sources.set([based_on])
        with in_english():
            title = _("Bring back %(source)s as of %(point)s") % {
                "source": source, "point": point.words or point.moment or point.position}  # fmt: skip
        # Not of the system: its backups go on while somebody looks at the scratch server.
        job = enqueue(KIND, wanted.pk, target=f"rewind:{source.pk}", title=title, requested_by=requested_by)
        wanted.job = job
        wanted.save(update_fields=["job"])
        people.bring(job, identity)
        record(requested_by, "backups.rewind.requested", wanted, source=str(source), stop=point.stop)
    return wanted


def wish(recovery: Recovery, what: str, *, requested_by: str) -> None:
    """While it is kept for a look: "store" it as a set, or "end". Raises OperationFailed when it is not kept any more."""
    with transaction.atomic():
        row = Recovery.objects.select_for_update().get(pk=recovery.pk)
        point = Point.from_json(row.point)
        if row.state != Recovery.State.RUNNING or not point.until:
            raise OperationFailed(_("The scratch server does not run any more."), permanent=True)
        point.wish = what
        Recovery.objects.filter(pk=row.pk).update(point=point.as_json())
        record(requested_by, f"backups.rewind.{what}", row)


def rewind_job(context: JobContext, pk: int) -> None:
    restore.run(context, pk, rewind)


def ended(job: Job) -> None:
    restore.ended(job)
    for one in Set.objects.filter(job=job, reason=Set.Reason.MOMENT, state=Set.State.RUNNING):
        aftermath.abandon(one, job, Set.State.FAILED)


def rewind(recovering: Recovering) -> None:
    """The whole story. Raises what made it fail."""
    point = Point.from_json(recovering.recovery.point)
    source = Source.objects.select_related("system").get(pk=point.source)
    known = bases.of(source)
    # Planned anew: segments may have been joined since, and more of the log may be there.
    plan = plan_for(known, point)
    point.note(plan)
    encrypted = recovering.set.encrypted or plan.encrypted
    recovering.identities = people.brought(recovering.context.job) if encrypted else []
    try:
        _work(recovering, known, plan, point, source)
    except SegmentLost as error:
        recovering.hint = _before(known, error, ZoneInfo(source.system.time_zone))
        raise
    except Damaged as error:
        restore.note_damage(recovering, error)
        raise


def _work(recovering: Recovering, known: bases.Known, plan: Plan, point: Point, source: Source) -> None:
    context, copy = recovering.context, best_copy(known.based_on(plan)[0])
    with as_of(context, known, plan, copy, identities=recovering.identities, step=recovering.step) as there:
        point.reached, point.transactions, point.measured = (
            str(there.reached),
            there.transactions,
            there.measured,
        )
        if there.left_out:
            recovering.warn(
                _("%(count)d statements on accounts were left out: users and rights are those of the set.")
                % {"count": there.left_out}
            )
        _look(recovering, point, source, there.place)
        if _asked_to_store(recovering, point):
            with recovering.step(_("keep as a set"), str(source)):
                made = keep.keep(recovering, source, there.place, _moment_of(point))
            point.stored = made.pk
            context.log(_("It is the set %(set)s now.") % {"set": made})
    point.until = point.access = ""
    _write(recovering, point)


def _moment_of(point: Point) -> datetime:
    """What was committed before it is in the scratch server."""
    known = [datetime.fromisoformat(text) for text in (point.surely, point.moment) if text]
    return known[0] if known else timezone.now()


def _look(recovering: Recovering, point: Point, source: Source, place: Engine) -> None:
    """Rows of every table, and of the critical ones apart; how to look for oneself."""
    with recovering.step(_("look"), place.target):
        place.answer()
        tables = place.tables()[:COUNTED]
        point.rows = place.counts(tables)
        critical = [name for name in source.options.get("critical_tables") or [] if name in point.rows]
        recovering.recovery.counts[source.name] = {name: point.rows[name] for name in critical}
        point.access = place.access()
        recovering.context.log(
            _("%(tables)d tables with %(rows)d rows.")
            % {"tables": len(tables), "rows": sum(point.rows.values())}
        )


def _asked_to_store(recovering: Recovering, point: Point) -> bool:
    """At once, or when somebody says so while it is kept for a look."""
    if point.store or point.keep_minutes <= 0:
        return point.store
    until = timezone.now() + timedelta(minutes=point.keep_minutes)
    point.until = until.isoformat()
    _write(recovering, point)
    recovering.context.phase(_("kept for a look"), point.access)
    recovering.context.log(_("Look at it: %(access)s") % {"access": point.access})
    while timezone.now() < until:
        recovering.context.check()
        told = (
            Recovery.objects.filter(pk=recovering.recovery.pk).values_list("point", flat=True).first() or {}
        )
        point.wish = str(told.get("wish", ""))
        if point.wish:
            break
        time.sleep(LOOK_SECONDS)
    return point.wish == "store"


def _write(recovering: Recovering, point: Point) -> None:
    """Raises OperationFailed when the row belongs to others by now."""
    recovering.recovery.point = point.as_json()
    if not recovering.mine().update(point=recovering.recovery.point):
        recovering.context.stop("lost")
        recovering.context.check()


def _before(known: bases.Known, error: SegmentLost, zone: ZoneInfo) -> str:
    """After a damaged segment: the last moment before it."""
    whole = replace(
        known, segments=[one for one in known.segments if one.last < error.segment.number], marks=[]
    )
    moment = bases.newest_reachable(whole)
    if moment is None:
        return _("Nothing was restored or changed.")
    return _("Nothing was restored or changed. The last moment before it is %(moment)s.") % {
        "moment": words.told(moment, zone)
    }
