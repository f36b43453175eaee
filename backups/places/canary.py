"""Shows each day that locks hold: a locked object is put down, and its delete has to be refused.

It is deleted by whoever may delete there (the pruner). A second object, without a lock, goes first: if that cannot be
deleted either, the refusal says nothing about locks.
"""

import io
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import Destination as Store
from backups.destinations.base import Role, Stored
from backups.models import Canary, Destination
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.canary"
EVERY = timedelta(days=1)
# Of a try that could not be made.
AGAIN = timedelta(hours=1)
LOCKED_FOR = timedelta(hours=1)
# No set lies at this depth.
PREFIX = "canary/"


def canaries_due() -> None:
    """A tick: ask for a try at each destination with locks whose last one was a day ago."""
    now = timezone.now()
    for destination in Destination.objects.filter(enabled=True):
        if destination.lock_days:
            _ask(destination, now)


def _ask(destination: Destination, now: datetime) -> None:
    canary, _new = Canary.objects.get_or_create(destination=destination)
    due = (
        Q(tried_at=None)
        | Q(tried_at__lt=now - EVERY)
        | Q(state=Canary.State.UNKNOWN, tried_at__lt=now - AGAIN)
    )
    with transaction.atomic():
        if not Canary.objects.filter(due, pk=canary.pk).update(tried_at=now):
            return
        if not Job.objects.filter(kind=KIND, subject=destination.pk, state__in=OPEN).exists():
            with in_english():
                title = _("Try to delete the canary of %(destination)s") % {"destination": destination}
            enqueue(KIND, destination.pk, target=f"canary:{destination.pk}", title=title)


def canary_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed when the delete succeeded, or could not be tried."""
    destination = Destination.objects.get(pk=pk)
    canary = Canary.objects.get(destination=destination)
    canary.tried_at = timezone.now()
    context.phase(_("trying to delete a locked object"))
    try:
        locked, deleted = try_to_delete(
            destination.build(), destination.build(Role.PRUNE), timezone.now() + LOCKED_FOR
        )
    except OperationFailed as error:
        _conclude(canary, Canary.State.UNKNOWN, redact(error.message), redact(error.hint))
        raise
    canary.mode, canary.until = locked.lock_mode, locked.locked_until
    if deleted:
        message = _("A locked object could be deleted: the locks of this destination do not hold.")
        hint = _("Nothing there is safe from deletion. Ask the store's operator; look at the lock mode.")
        _conclude(canary, Canary.State.DELETED, message, hint)
        raise OperationFailed(message, hint, permanent=True)
    canary.refused_at = canary.tried_at
    _conclude(canary, Canary.State.REFUSED)


def try_to_delete(store: Store, pruner: Store, until: datetime) -> tuple[Stored, bool]:
    """A locked object, and whether it could be deleted all the same.

    Raises OperationFailed when it cannot be locked, or when nothing at all can be deleted there.
    """
    _remove_ended(pruner)
    free = store.put(f"{PREFIX}{secrets.token_hex(8)}", io.BytesIO(b"This may be deleted."))
    if store.head(free.key).locked_until is None:
        pruner.delete_version(free.key, free.version)
    held = store.put(
        f"{PREFIX}{secrets.token_hex(8)}", io.BytesIO(b"This is locked, and may not be deleted.")
    )
    locked = store.lock(held.key, until.replace(microsecond=0))
    with suppress(OperationFailed):
        pruner.delete_version(held.key, held.version)
    there = any(one.version == held.version for one in store.list_versions(held.key) if one.key == held.key)
    return locked, not there


def _remove_ended(pruner: Store) -> None:
    """The canaries of earlier days, and what connection tests left: those whose lock has ended.

    What is younger may be a connection test that is under way.
    """
    before = timezone.now() - LOCKED_FOR
    for one in [*pruner.list_versions(PREFIX)]:
        if one.modified is not None and one.modified < before:
            with suppress(OperationFailed):
                pruner.delete_version(one.key, one.version)


def _conclude(canary: Canary, state: Canary.State, message: str = "", hint: str = "") -> None:
    news = canary.state != state
    canary.state, canary.message, canary.hint = state, message, hint
    with transaction.atomic():
        canary.save()
        record("system", f"backups.canary.{state.value}", canary.destination, message=message)
        if news and state == Canary.State.DELETED:
            title = format_lazy(
                gettext_lazy("The locks of {destination} do not hold"), destination=canary.destination
            )
            tell(Event.FAILURE, title, retold(message, hint))
        elif news and state == Canary.State.UNKNOWN:
            title = format_lazy(
                gettext_lazy("The locks of {destination} could not be tried"), destination=canary.destination
            )
            tell(Event.WARNING, title, retold(message, hint))
