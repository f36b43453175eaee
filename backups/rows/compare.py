"""Compares a table as it was with production: what was deleted, changed, added since.

First each side computes a checksum for each of 65,536 buckets of rows, in one query; then only rows of buckets that
differ are read, streamed from both sides in the same order. Production is read in one snapshot.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Copy, RowComparison, Source
from backups.recovery import identities
from backups.rows import linked, results
from backups.rows.merge import differences
from backups.rows.results import Rows, Table
from backups.rows.session import NAMED_BUCKETS, Bucket, Session
from backups.rows.shape import Shape, common
from backups.rows.source import FromReplay, FromSet, RowSource
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, State
from drcenter.secrets import Secret, redact
from drcenter.stored import in_english

KIND = "backups.rows.compare"
# Differences between two looks at whether somebody wants it to stop.
LOOK_EVERY = 1000


def request(  # noqa: PLR0913 - all are named
    copy: Copy, source: Source, table: str, *, requested_by: str, identity: Secret | None = None,
    wanted_at: datetime | None = None, counterpart: str = "", key: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None, exact: bool = False,
) -> RowComparison:  # fmt: skip
    """Ask for a comparison; a worker does it. `exact`: the log is replayed up to `wanted_at` (source.way_to, which
    gives `copy`); otherwise the set of `copy` is compared. Raises OperationFailed for a source without rows."""
    if not source.build().has_rows:
        raise OperationFailed(
            _("%(source)s is no database whose rows can be compared.") % {"source": source}, permanent=True
        )
    holds = exact or copy.set.parts.filter(source_name=source.name).exists()
    if copy.set.system_id != source.system_id or not holds:
        raise OperationFailed(
            _("The set %(set)s does not hold %(source)s.") % {"set": copy.set, "source": source.name},
            permanent=True,
        )
    with transaction.atomic():
        wanted = RowComparison.objects.create(
            copy=copy, source=source, table=table, wanted_at=wanted_at, exact=exact, counterpart=counterpart,
            key=list(key), renamed=dict(renamed or {}), requested_by=requested_by,
        )  # fmt: skip
        with in_english():
            title = _("Compare %(table)s of %(set)s with production") % {"table": table, "set": copy.set}
        wanted.job = enqueue(
            KIND, wanted.pk, target=f"rows:{source.pk}", title=title, requested_by=requested_by
        )
        wanted.save(update_fields=["job"])
        identities.bring(wanted.job, identity)
        record(requested_by, "backups.rows.compare_requested", wanted, table=table, set=str(copy.set))
    return wanted


def place_of(comparison: RowComparison) -> Path:
    """The file of what differs."""
    return results.directory() / f"comparison-{comparison.pk}.sqlite3"


def compare_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Changes nothing anywhere but its own row and file."""
    waiting = RowComparison.objects.filter(pk=pk, state=RowComparison.State.WAITING)
    if not waiting.update(state=RowComparison.State.RUNNING, started_at=timezone.now(), job=context.job):
        raise OperationFailed(_("This comparison is not waiting any more."), permanent=True)
    comparison = RowComparison.objects.select_related(
        "copy__set__system", "copy__destination", "source__system"
    ).get(pk=pk)
    try:
        _compare(context, comparison)
    except BaseException as error:
        _conclude(comparison, *_failed(error))
        raise
    _conclude(comparison, RowComparison.State.DONE, "", "")


def _compare(context: JobContext, comparison: RowComparison) -> None:
    began = time.monotonic()
    rows_then = _rows_then(context, comparison)
    with ExitStack() as stack:
        file = stack.enter_context(results.created(place_of(comparison)))
        then = stack.enter_context(rows_then.session(context))
        restored = time.monotonic()
        now = stack.enter_context(comparison.source.build().rows())
        both = Both(context, then, now, comparison)
        both.write(file)
        compared = time.monotonic()
        linked.find(context, file, then, now, both.now_shape)
        comparison.counts, comparison.notes = file.counts(), both.notes
    comparison.timings = {
        "restore": round(restored - began, 2), "compare": round(compared - restored, 2),
        "links": round(time.monotonic() - compared, 2),
    }  # fmt: skip


def _rows_then(context: JobContext, comparison: RowComparison) -> RowSource:
    if comparison.exact and comparison.wanted_at is not None:
        return FromReplay(comparison.source, comparison.wanted_at, identities.brought(context.job))
    keys = identities.brought(context.job) if comparison.copy.set.encrypted else []
    return FromSet(comparison.copy, comparison.source.name, keys)


class Both:
    """The table on both sides."""

    def __init__(self, context: JobContext, then: Session, now: Session, comparison: RowComparison) -> None:
        self._context, self._then, self._now = context, then, now
        self.then_shape = then.shape(named(then, comparison.table))
        self.now_shape = now.shape(named(now, comparison.table_now))
        self.common = common(self.then_shape, self.now_shape, comparison.key, comparison.renamed)
        self.notes = [*self.common.notes, *told(self.now_shape)]

    def write(self, file: Rows) -> None:
        """What differs, into the file."""
        common, table = self.common, self.now_shape.table
        file.add_table(Table(table, results.MAIN, common.now, common.key, common.lacking))
        buckets = self._differing()
        if buckets == []:
            return
        self._context.phase(_("comparing rows"), table)
        then, now = (
            session.rows(shape.table, columns, common.key, buckets)
            for session, shape, columns in (
                (self._then, self.then_shape, common.then), (self._now, self.now_shape, common.now),
            )
        )  # fmt: skip
        for number, difference in enumerate(differences(then, now, common.key), 1):
            file.add(table, difference)
            if number % LOOK_EVERY == 0:
                self._context.check()
            if number % (100 * LOOK_EVERY) == 0:
                self._context.phase(_("comparing rows"), f"{table}: {number}")
        file.flush()

    def _differing(self) -> list[int] | None:
        """The buckets that differ; None: too many to be named, or checksums would not tell."""
        common = self.common
        if not common.alike:
            return None
        self._context.phase(_("computing checksums"), self.now_shape.table)
        sides = [
            partial(session.buckets, shape.table, columns, common.key)
            for session, shape, columns in (
                (self._then, self.then_shape, common.then), (self._now, self.now_shape, common.now),
            )
        ]  # fmt: skip
        if self._then.shared and self._now.shared:
            with ThreadPoolExecutor(max_workers=2, thread_name_prefix="checksums") as pool:
                found = _unequal(*pool.map(lambda ask: ask(), sides))
        else:
            found = _unequal(*(ask() for ask in sides))
        self._context.check()
        return found if len(found) <= NAMED_BUCKETS else None


def _unequal(then: Mapping[int, Bucket], now: Mapping[int, Bucket]) -> list[int]:
    return sorted(
        number
        for number in then.keys() | now.keys()
        if then.get(number) != now.get(number) or then[number].checksum is None
    )


def named(session: Session, name: str) -> str:
    """The table's whole name: PostgreSQL's begin with a schema, which may be left out where it is clear.

    Raises OperationFailed that lists what is near.
    """
    tables = session.tables()
    fitting = [one for one in tables if one == name] or [one for one in tables if one.endswith(f".{name}")]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise OperationFailed(
            _("The table %(name)s is there more than once: %(places)s.")
            % {"name": name, "places": ", ".join(fitting)},
            _("Write it with its schema."), permanent=True,
        )  # fmt: skip
    session.shape(name)
    return name


def told(shape: Shape) -> list[str]:
    """What is to be known of the table of production before rows are put back into it."""
    notes = []
    if shape.triggers:
        notes.append(
            _("Triggers of %(table)s will act on rows that come back: %(names)s.")
            % {"table": shape.table, "names": ", ".join(shape.triggers)}
        )
    if not shape.transactional:
        notes.append(
            _("The table %(table)s knows no transactions: nothing can be put back into it, only exported.")
            % {"table": shape.table}
        )
    return notes


def _failed(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, Cancelled):
        return RowComparison.State.CANCELLED, _("Stopped on request."), ""
    message = str(getattr(error, "message", "")) or f"{type(error).__name__}: {error}"
    return RowComparison.State.FAILED, redact(message), redact(str(getattr(error, "hint", "")))


def _conclude(comparison: RowComparison, state: str, message: str, hint: str) -> None:
    with transaction.atomic():
        RowComparison.objects.filter(pk=comparison.pk, state=RowComparison.State.RUNNING).update(
            state=state, message=message, hint=hint, counts=comparison.counts, notes=comparison.notes,
            timings=comparison.timings, finished_at=timezone.now(),
        )  # fmt: skip
        record(
            comparison.requested_by, f"backups.rows.compare_{state}", comparison, message=message,
            **comparison.counts,
        )  # fmt: skip


def ended(job: Job) -> None:
    """After a job: nothing half of it is left."""
    identities.forget(job)
    unfinished = RowComparison.objects.filter(
        pk=job.subject, state__in=[RowComparison.State.WAITING, RowComparison.State.RUNNING]
    )
    states = {State.LOST: RowComparison.State.LOST, State.CANCELLED: RowComparison.State.CANCELLED}
    for comparison in unfinished:
        results.remove(place_of(comparison))
        unfinished.update(
            state=states.get(State(job.state), RowComparison.State.FAILED), message=job.message,
            hint=job.hint, finished_at=timezone.now(),
        )  # fmt: skip
