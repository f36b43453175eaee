"""Locks copies against everybody, for as many days as their destination says, or their class of retention if longer.

A lock cannot be taken back, so it comes last: the copy is complete, every object was read back and has its digest;
then object by object is locked, and what the store says of each afterwards is what counts.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import Stored
from backups.models import Copy, Destination, Level, Lock, Retention, Set
from backups.models.level import at_least
from backups.storage import companions, layout, readback
from backups.storage.checksums import parse_checksums
from backups.storage.readback import ReadableCopy
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.lock"
# How long a copy that could not be locked waits for the next try.
AGAIN = timedelta(hours=6)


def lock_due() -> None:
    """A tick: ask for the lock of every complete copy that is not locked as long as it has to be."""
    now = timezone.now()
    for destination in Destination.objects.filter(enabled=True):
        if destination.lock_days:
            _hold_pinned(destination, now)
            _hold_classes(destination)
            for copy in _due(destination, now):
                _ask(copy, now)


def _hold_pinned(destination: Destination, now: datetime) -> None:
    """What a person has pinned stays locked as long as it is pinned: the lock is made longer at half of its time."""
    days = timedelta(days=destination.lock_days)
    pinned = destination.copies.filter(
        state=Copy.State.COMPLETE, set__pins__isnull=False, set__pins__released_at=None,
        lock__state=Lock.State.HELD, lock__until__lt=now + days / 2, lock__wanted_until__lt=now + days / 2,
    )  # fmt: skip
    for copy in pinned.distinct():
        extend(copy, (now + days).replace(microsecond=0))


def _hold_classes(destination: Destination) -> None:
    """The sets of a class of retention that asks for more days than the destination does."""
    held = destination.copies.filter(state=Copy.State.COMPLETE, lock__state=Lock.State.HELD)
    for retention in Retention.objects.filter(lock_days__gt=destination.lock_days):
        days = timedelta(days=retention.lock_days)
        too_short = Q(lock__wanted_until__lt=F("set__moment") + days)
        for copy in held.filter(too_short, set__plan__retention=retention).select_related("set"):
            extend(copy, _after(copy, days))


def _due(destination: Destination, now: datetime) -> QuerySet[Copy]:
    days = timedelta(days=destination.lock_days)
    too_short = Q(lock__until__lt=F("set__moment") + days) | Q(lock__until__lt=F("lock__wanted_until"))
    failed = ~Q(lock__state=Lock.State.HELD) & Q(lock__checked_at__lt=now - AGAIN)
    wanted = Q(set__moment__gt=now - days) | Q(lock__wanted_until__gt=now)
    complete = destination.copies.filter(state=Copy.State.COMPLETE, set__state=Set.State.COMPLETE)
    due = Q(lock=None) | failed | (Q(lock__state=Lock.State.HELD) & too_short)
    return complete.filter(wanted & due).select_related("set__system", "destination")


def _ask(copy: Copy, now: datetime) -> None:
    with transaction.atomic():
        until = _until(copy)
        lock, _new = Lock.objects.select_for_update().get_or_create(
            copy=copy, defaults={"wanted_until": until}
        )
        lock.wanted_until = max(lock.wanted_until, until)
        # Should the worker die, the next try comes later, and not with every tick.
        lock.checked_at = now
        lock.save(update_fields=["wanted_until", "checked_at"])
        if not Job.objects.filter(kind=KIND, subject=copy.pk, state__in=OPEN).exists():
            with in_english():
                title = _("Lock %(copy)s") % {"copy": copy}
            enqueue(KIND, copy.pk, target=f"lock:{copy.pk}", title=title)


def _until(copy: Copy) -> datetime:
    return _after(copy, timedelta(days=copy.destination.lock_days))


def _after(copy: Copy, days: timedelta) -> datetime:
    """In whole seconds, as stores keep it; never earlier than the days ask for."""
    moment = copy.set.moment or copy.set.created_at
    return (moment + days + timedelta(seconds=1)).replace(microsecond=0)


def extend(copy: Copy, until: datetime) -> None:
    """Have the copy locked until then, or as long as it is already: a lock is never shortened.

    Called for what a pin, a class of retention or another set needs for longer. The next tick does it.
    """
    with transaction.atomic():
        lock, new = Lock.objects.select_for_update().get_or_create(
            copy=copy, defaults={"wanted_until": until}
        )
        if new or lock.wanted_until < until:
            lock.wanted_until = max(lock.wanted_until, until)
            lock.checked_at = timezone.now() - AGAIN - timedelta(seconds=1)
            lock.save(update_fields=["wanted_until", "checked_at"])
            record("system", "backups.lock.extended", copy, until=lock.wanted_until)


def lock_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed when the copy is not locked afterwards."""
    copy = Copy.objects.select_related("set__system", "destination").get(pk=pk)
    lock = Lock.objects.get(copy=copy)
    try:
        if copy.state != Copy.State.COMPLETE:
            raise OperationFailed(_("This copy is not complete; nothing of it is locked."), permanent=True)
        found = _locked(context, copy, lock.wanted_until)
    except OperationFailed as error:
        _conclude_not_held(lock, error)
        raise
    _conclude_held(lock, found)
    for needed in copy.set.needs.all():
        # Its parts are parts of this one, too.
        for other in needed.copies.filter(destination=copy.destination, state=Copy.State.COMPLETE):
            extend(other, lock.wanted_until)


def _locked(context: JobContext, copy: Copy, until: datetime) -> list[Stored]:
    """Every object of the copy, as the store has it now that it is locked. Raises OperationFailed."""
    store = copy.destination.build()
    names = _verified(context, copy, ReadableCopy(store, copy.set.prefix))
    found = []
    for name in names:
        context.phase(_("locking"), name)
        # What is locked stays for years: nobody else may have taken this copy meanwhile.
        context.sure()
        found.append(store.lock(copy.set.prefix + name, until))
    return found


def _verified(context: JobContext, copy: Copy, readable: ReadableCopy) -> list[str]:
    """The names of the objects of the copy, manifest last. Raises Damaged: what is damaged is not locked."""
    one = copy.set
    companions.check_there(readable, one)
    companions.check_digests(readable, one)
    was_read = at_least(copy.level, Level.INTACT)
    for part in one.parts.all():
        context.phase(_("reading back"), part.key, part.stored_size)
        readback.check_stored(readable, part)
        if not was_read and not part.key.startswith("../"):
            readback.check_digest(readable, part, context.advance)
    digests = parse_checksums(readable.content(layout.CHECKSUMS).decode())
    own = sorted(name for name in digests if name != layout.MANIFEST and not name.startswith("../"))
    return [*own, layout.CHECKSUMS, layout.SIGNATURE, layout.MANIFEST]


def _conclude_held(lock: Lock, found: list[Stored]) -> None:
    ends = [one.locked_until for one in found if one.locked_until]
    lock.state, lock.until = Lock.State.HELD, min(ends)
    lock.mode = "/".join(sorted({one.lock_mode for one in found}))
    lock.objects_count, lock.checked_at, lock.message, lock.hint = len(found), timezone.now(), "", ""
    with transaction.atomic():
        lock.save()
        # What removes sets looks there.
        Copy.objects.filter(pk=lock.copy_id).update(locked_until=lock.until)
        record("system", "backups.lock.held", lock.copy, mode=lock.mode, until=lock.until, objects=len(found))


def _conclude_not_held(lock: Lock, error: OperationFailed) -> None:
    """Whatever was locked of it before: the copy as a whole is not, or not as long as it has to be."""
    known = lock.state == Lock.State.NOT_HELD
    lock.state, lock.checked_at = Lock.State.NOT_HELD, timezone.now()
    lock.message, lock.hint = redact(error.message), redact(error.hint)
    with transaction.atomic():
        lock.save()
        record("system", "backups.lock.refused", lock.copy, message=lock.message)
        if not known:
            title = format_lazy(gettext_lazy("{copy} is not locked"), copy=lock.copy)
            tell(Event.FAILURE, title, retold(lock.message, lock.hint))
