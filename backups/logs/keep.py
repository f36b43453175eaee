"""Removes archived logs that no set which is still kept can be replayed with.

A segment is needed by every set whose place in the log is before its end. Where no kept set is found in the archive,
where the plan keeps everything, or where something waits for a person, nothing goes.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.keep.erase import erase
from backups.logs import chain, records
from backups.logs.chain import Position
from backups.models import Copy, Freeze, LogPlace, LogSegment, LogStream, Rebuild, Set
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.stored import in_english

KIND = "backups.logs.prune"
EVERY = timedelta(days=1)
# What is younger stays in any case: a set that is being taken may need it.
YOUNGEST = timedelta(days=2)


def ask_due() -> None:
    """A tick: each stream once a day."""
    now = timezone.now()
    for stream in LogStream.objects.filter(plan__retention__isnull=False):
        with transaction.atomic():
            LogStream.objects.select_for_update().get(pk=stream.pk)
            lately = Job.objects.filter(kind=KIND, subject=stream.pk, created_at__range=(now - EVERY, now))
            if not lately.exists() and removable(stream).exists():
                with in_english():
                    title = _("Prune the log of %(stream)s") % {"stream": stream}
                enqueue(KIND, stream.pk, target=f"logs:{stream.pk}", title=title)


def removable(stream: LogStream) -> QuerySet[LogSegment]:
    """The segments that no kept set needs, oldest first."""
    rows = stream.segments.order_by("number")
    needed = needed_from(stream)
    if needed is None:
        return rows.none()
    young = rows.filter(created_at__gt=timezone.now() - YOUNGEST).order_by("number").first()
    if young is not None:
        needed = min(needed, young.number)
    return rows.filter(last__lt=needed)


def needed_from(stream: LogStream) -> int | None:
    """The lowest number that a kept set needs; None: nothing may go."""
    plan = stream.plan
    if plan.retention_id is None or Rebuild.objects.waits() or Freeze.objects.stopping(plan).exists():
        return None
    bases = _bases(stream)
    if bases is None:
        return None
    rows = stream.segments.select_related("incarnation").order_by("number")
    return chain.needed_from([one.segment for one in rows], bases)


def _bases(stream: LogStream) -> list[Position] | None:
    """The places in a log of everything that is kept of the system: rather one too many than one too few. None when
    there is one that cannot be understood here."""
    present = Q(copies__state__in=[Copy.State.COMPLETE, Copy.State.DAMAGED, Copy.State.WRITING])
    sets = Set.objects.filter(present, system=stream.source.system_id).distinct()
    found = []
    for moments in sets.values_list("moments", flat=True):
        for told in moments.values():
            position = told.get("position") or {}
            if isinstance(position.get("file"), str) and isinstance(position.get("position"), int):
                found.append(Position(position["file"], position["position"]))
            elif position:
                return None
    return found


def prune_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed when something does not go (it is locked)."""
    stream = LogStream.objects.select_related("source__system", "plan").get(pk=pk)
    leaving = list(removable(stream))
    if not leaving:
        return
    fault: OperationFailed | None = None
    for place in stream.places.select_related("destination"):
        context.phase(_("removing archived logs"), place.destination.name)
        try:
            _erase(context, place, leaving)
        except OperationFailed as error:
            fault = fault or error
    if fault is not None:
        raise fault
    with transaction.atomic():
        stream.segments.filter(pk__in=[one.pk for one in leaving]).delete()
        record("system", "backups.logs.pruned", stream, count=len(leaving), through=leaving[-1].last)


def _erase(context: JobContext, place: LogPlace, leaving: list[LogSegment]) -> None:
    """The record of each goes first: what has none does not exist."""
    last = leaving[-1].last
    LogPlace.objects.filter(pk=place.pk, since__lte=last, through__gte=last).update(since=last + 1)
    store = place.destination.build(Role.PRUNE)
    for one in leaving:
        context.check()
        erase(store, records.record_key(one.key).removesuffix("json"), context.check)
