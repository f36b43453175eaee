"""Notices that the panel's own database was put back from a backup, before anything acts on what it says.

What it calls running ended long ago, perhaps well. To take it for lost and clean up after it would remove good sets,
the newest of all among them. So a token stands in the database and beside it, in the state directory, and changes
together in both; a database that was put back has an old one.
"""

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Approval, Copy, Generation, Rebuild, Recovery, Set, Verification
from drcenter.audit.record import record
from drcenter.jobs.models import OPEN, Job, State
from drcenter.stored import in_english

logger = logging.getLogger(__name__)
FILE = "generation"


def begin() -> bool:
    """At the start of what acts by itself. True if the database was put back: then nothing of it is open any more."""
    with _alone():
        row = Generation.objects.first()
        put_back = row is not None and row.token not in _known()
        if put_back:
            close_everything()
        _advance(row)
    return put_back


def advance_after_set() -> None:
    """A tick: after each new set of this installation's own database, so that the one in the set is old at once."""
    from backups import own

    source = own.source()
    if source is None:
        return
    newest = (
        Set.objects.complete()
        .filter(system=source.system_id)
        .order_by("-pk")
        .values_list("pk", flat=True)
        .first()
    )
    with _alone():
        row = Generation.objects.first()
        if newest is not None and (row is None or row.set_pk != newest):
            _advance(row, newest)


@contextmanager
def _alone() -> Iterator[None]:
    """No other process of this state directory changes the token meanwhile."""
    with _path().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _advance(row: Generation | None, set_pk: int | None = None) -> None:
    """Both places get a new token. Wherever this stops, the file knows the one in the database."""
    fresh = secrets.token_hex(16)
    _write([*([row.token] if row else []), fresh])
    row = row or Generation()
    row.token, row.set_pk = fresh, set_pk if set_pk is not None else row.set_pk
    row.save()
    _write([fresh])


def _path() -> Path:
    return Path(settings.STATE_DIR) / FILE


def _known() -> list[str]:
    try:
        found = json.loads(_path().read_text())
    except (FileNotFoundError, ValueError):
        return []
    return found if isinstance(found, list) else []


def _write(tokens: list[str]) -> None:
    temporary = _path().with_suffix(".new")
    with temporary.open("w") as file:
        json.dump(tokens, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(_path())


def close_everything() -> None:
    """What the database calls open has ended; nobody knows how. Nothing in storage is touched: rebuild-catalog finds
    what is there."""
    now = timezone.now()
    with in_english(), transaction.atomic():
        message = _("The DR Center's database was put back from a backup; how this ended is not known.")
        Job.objects.filter(state__in=OPEN).update(
            state=State.LOST, finished_at=now, message=message, settled=True
        )
        ends = {"finished_at": now, "message": message}
        Set.objects.filter(state__in=[Set.State.WAITING, Set.State.RUNNING]).update(
            state=Set.State.LOST, **ends
        )
        checks = Verification.objects.filter(
            state__in=[Verification.State.WAITING, Verification.State.RUNNING]
        )
        checks.update(state=Verification.State.FAILED, **ends)
        restores = Recovery.objects.filter(state__in=[Recovery.State.WAITING, Recovery.State.RUNNING])
        restores.update(state=Recovery.State.LOST, **ends)
        # What was approved in the old time may have run since: nothing of it counts a second time.
        Approval.objects.filter(state=Approval.State.GRANTED).update(state=Approval.State.ENDED)
        plans = Recovery.objects.filter(state__in=[Recovery.State.PLANNED, Recovery.State.APPROVED])
        plans.update(state=Recovery.State.VOID, **ends)
        Rebuild.objects.filter(state__in=[Rebuild.State.WAITING, Rebuild.State.RUNNING]).update(
            state=Rebuild.State.FAILED, **ends
        )
        # A copy of a set that is complete may be there, or half there: it is made up for.
        Copy.objects.filter(state=Copy.State.WRITING).update(state=Copy.State.FAILED, message=message)
        made = Rebuild.objects.create(
            state=Rebuild.State.DONE, requested_by="system", finished_at=now, changed=True, findings=[message]
        )
        record("system", "backups.own.put_back", made)
    logger.warning("the database was put back from a backup: everything open in it is closed")
