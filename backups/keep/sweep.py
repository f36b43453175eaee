"""Finds what attempts left at a destination that never became a set, and removes it when a person says so.

A folder without a manifest is a leftover when nobody is at work on it: no row of ours says so, nothing in it was written
for a day, and its name says that it is of this DR Center. Two may write to one bucket: what is of another one is shown,
and never touched; nor are foreign files, nor a set whose manifest somebody has taken away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import Role, Stored
from backups.keep.erase import erase
from backups.models import Copy, Destination, Leftover, Set
from backups.storage import layout, trust
from backups.storage.signing import is_marked
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job
from drcenter.secrets import redact
from drcenter.stored import in_english

LOOK, KIND = "backups.look_for_leftovers", "backups.sweep"
# A folder in which something was written since then may be of an attempt that runs.
GRACE = timedelta(hours=24)
EVERY = timedelta(hours=24)

YOUNG = gettext_noop("something was written there less than a day ago")
FOREIGN = gettext_noop("it is of another DR Center")
AT_WORK = gettext_noop("an attempt is at work on it")
DAMAGED = gettext_noop("the catalogue has a set there: somebody took its manifest away")
PRUNED = gettext_noop("it is being removed by retention")


@dataclass
class Folder:
    """A folder without a manifest, as the destination lists it with all versions and unfinished uploads."""

    where: layout.Located
    count: int = 0
    size: int = 0
    newest: datetime | None = None

    def add(self, one: Stored) -> None:
        self.count, self.size = self.count + 1, self.size + one.size
        if one.modified is not None:
            self.newest = max(one.modified, self.newest or one.modified)

    @property
    def written_at(self) -> datetime:
        """When the last thing was written, or the attempt began."""
        began = layout.Identifier.parse(self.where.identifier)
        started = began.began_at if began else datetime.min.replace(tzinfo=UTC)
        return max(self.newest or started, started)


def request(destination: Destination, *, kind: str = KIND, requested_by: str) -> Job:
    """Ask for a look, or for the removal of what the last look found."""
    with transaction.atomic():
        with in_english():
            title = _("Leftovers at %(destination)s") % {"destination": destination}
        job = enqueue(
            kind, destination.pk, target=f"sweep:{destination.pk}", title=title, requested_by=requested_by
        )
        record(requested_by, f"{kind}.requested", destination)
    return job


def look_due() -> None:
    """A tick: look once a day at every destination."""
    now = timezone.now()
    for destination in Destination.objects.filter(enabled=True):
        lately = Job.objects.filter(kind=LOOK, subject=destination.pk)
        if not (lately.filter(created_at__range=(now - EVERY, now)) | lately.filter(state__in=OPEN)).exists():
            request(destination, kind=LOOK, requested_by="schedule")


def look_job(context: JobContext, pk: int) -> None:
    """The work of a job that looks: the rows are what is there now. Raises OperationFailed."""
    destination = Destination.objects.get(pk=pk)
    context.phase(_("looking at the store"), destination.name)
    look(destination)


def look(destination: Destination) -> list[Leftover]:
    """Writes down what lies there, and returns it. Raises OperationFailed; then the rows stay as they were."""
    now = timezone.now()
    found = [_row(destination, folder, now) for folder in folders(destination.build(Role.READ))]
    with transaction.atomic():
        destination.leftovers.all().delete()
        Leftover.objects.bulk_create(found)
    return found


def _row(destination: Destination, folder: Folder, now: datetime) -> Leftover:
    return Leftover(
        destination=destination, prefix=folder.where.prefix, objects_count=folder.count, size=folder.size,
        newest_at=folder.written_at, kept_because=why_kept(destination, folder, now), seen_at=now,
    )  # fmt: skip


def folders(store: DestinationPlugin) -> Iterator[Folder]:
    """Folders of attempts without any version of a manifest; one at a time is in memory."""
    unfinished: dict[str, list[tuple[layout.Located, Stored]]] = {}
    for pair in _located(store.unfinished("")):
        unfinished.setdefault(pair[0].prefix, []).append(pair)
    for prefix, group in groupby(_located(store.list_versions("")), key=lambda one: one[0].prefix):
        pairs = [*group, *unfinished.pop(prefix, [])]
        if all(where.name != layout.MANIFEST for where, _stored in pairs):
            yield _folder(pairs)
    yield from map(_folder, unfinished.values())


def _folder(pairs: list[tuple[layout.Located, Stored]]) -> Folder:
    folder = Folder(pairs[0][0])
    for _where, stored in pairs:
        folder.add(stored)
    return folder


def _located(listed: Iterator[Stored]) -> Iterator[tuple[layout.Located, Stored]]:
    for stored in listed:
        if (where := layout.locate(stored.key)) is not None:
            yield where, stored


def why_kept(destination: Destination, folder: Folder, now: datetime) -> str:
    """Why it must not be removed; "" for a leftover. What the catalogue says comes first."""
    one = Set.objects.filter(system__slug=folder.where.system, identifier=folder.where.identifier).first()
    copy = one.copies.filter(destination=destination).first() if one else None
    if one is not None and (one.state in {Set.State.WAITING, Set.State.RUNNING} or _works(one)):
        return AT_WORK
    if copy is not None:
        kept = {
            Copy.State.WRITING: AT_WORK, Copy.State.COMPLETE: DAMAGED, Copy.State.DAMAGED: DAMAGED,
            Copy.State.REMOVING: PRUNED,
        }.get(Copy.State(copy.state))  # fmt: skip
        if kept:
            return kept
    if not any(is_marked(folder.where.identifier, key) for key in trust.trusted().keys):
        return FOREIGN
    # Of a clock that was set back the age is negative: that is young, too.
    return YOUNG if now - folder.written_at < GRACE else ""


def _works(one: Set) -> bool:
    return one.job is not None and one.job.state in OPEN


# ---------------------------------------------------------------------------- removing


def sweep_job(context: JobContext, pk: int) -> None:
    """The work of a job that removes: what the last look showed, if it still is a leftover. Raises OperationFailed."""
    destination = Destination.objects.get(pk=pk)
    failed: OperationFailed | None = None
    for row in destination.leftovers.filter(kept_because=""):
        context.phase(_("removing"), row.prefix)
        try:
            _remove(context, destination, row)
        except OperationFailed as error:
            context.log(f"{row.prefix}: {error}", "error")
            failed = failed or error
    if failed is not None:
        raise OperationFailed(
            _("Some leftovers could not be removed: %(why)s") % {"why": redact(failed.message)}, failed.hint
        )


def _remove(context: JobContext, destination: Destination, row: Leftover) -> None:
    """One folder, looked at once more: the list that a person saw may be old."""
    store = destination.build(Role.PRUNE)
    for folder in _still(store, row.prefix):
        if reason := why_kept(destination, folder, timezone.now()):
            context.log(_("%(prefix)s stays: %(why)s") % {"prefix": row.prefix, "why": _(reason)})
            Leftover.objects.filter(pk=row.pk).update(kept_because=reason)
            return
        erase(store, row.prefix, context.check)
    with transaction.atomic():
        Leftover.objects.filter(pk=row.pk).delete()
        record(
            context.job.requested_by,
            "backups.sweep.removed",
            destination,
            prefix=row.prefix,
            objects=row.objects_count,
        )


def _still(store: DestinationPlugin, prefix: str) -> list[Folder]:
    """The folder as it is now; none when it is gone. Raises OperationFailed when it has become a set."""
    if any(one.key == prefix + layout.MANIFEST for one in store.list_versions(prefix)):
        raise OperationFailed(_("%(prefix)s is a set by now.") % {"prefix": prefix}, permanent=True)
    where = layout.locate(f"{prefix}x")
    if where is None:
        raise OperationFailed(
            _("%(prefix)s is no folder of an attempt.") % {"prefix": prefix}, permanent=True
        )
    folder = Folder(where)
    for one in [*store.list_versions(prefix), *store.unfinished(prefix)]:
        folder.add(one)
    return [folder] if folder.count else []
