"""Who archives a stream: one archiver at a time, as long as it is heard of."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from backups.models.logs import LEASE, LogStream
from drcenter.errors import OperationFailed


class LostLease(OperationFailed):
    """Another archiver holds the stream by now: this one may write nothing more."""

    def __init__(self) -> None:
        super().__init__("Another archiver has taken this stream over.", permanent=True)


def claim(pk: int, worker: str) -> bool:
    """Take the stream, unless somebody holds it, or it is switched off."""
    now = timezone.now()
    # A sign of life from the future is of a clock that was set back.
    free = Q(worker="") | Q(worker=worker) | Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - LEASE)
    free |= Q(heartbeat_at__gt=now + timedelta(minutes=1))
    rows = LogStream.objects.filter(free, pk=pk, enabled=True)
    return rows.update(worker=worker, heartbeat_at=now) == 1


def renew(pk: int, worker: str, **changes: Any) -> None:
    """A sign of life, and what it says. Raises LostLease."""
    rows = LogStream.objects.filter(pk=pk, worker=worker)
    if not rows.update(heartbeat_at=timezone.now(), **changes):
        raise LostLease


def release(pk: int, worker: str) -> None:
    LogStream.objects.filter(pk=pk, worker=worker).update(worker="", heartbeat_at=None)
