"""Brings the segments of a stream to one destination, in order, and makes up for what it missed while it was away.

Data first, then the record beside it: what has no record does not exist. Whatever is repeated after a crash is the
same bytes under the same name. How far a destination is, its row says: everything up to one number is there.
"""

import io
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import DatabaseError, connections
from django.utils import timezone

from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import Reader, Role
from backups.logs import records
from backups.logs.spool import Spool
from backups.models import LogPlace, LogSegment
from backups.pipe.stream import BLOCK
from backups.storage import publish
from backups.storage.recording import sealed_to
from drcenter.errors import OperationFailed
from drcenter.secrets import redact

# Seconds before a destination that failed is tried again, longer each time.
PAUSES = (2, 5, 15, 30, 60, 120, 300)
LOOK_SECONDS = 1.0


class Courier(threading.Thread):
    """A thread for one destination of one stream. A destination that hangs holds up itself alone."""

    def __init__(self, place: LogPlace, spool: Spool) -> None:
        super().__init__(name=f"courier-{place.destination}", daemon=True)
        self._pk, self._spool = place.pk, spool
        self._wake, self._ended = threading.Event(), threading.Event()
        self._plugin: DestinationPlugin | None = None
        # It has something to bring, or has not looked yet.
        self.busy = True

    def wake(self) -> None:
        """There is a new segment."""
        self.busy = True
        self._wake.set()

    def end(self, wait: float) -> None:
        """Stop after the segment that is being brought, or without waiting for it longer than `wait` seconds."""
        self._ended.set()
        self._wake.set()
        self.join(wait)

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._wake.clear()
                self._round()
                self.busy = self._wake.is_set()
                self._wake.wait(LOOK_SECONDS)
        finally:
            connections.close_all()

    def _round(self) -> None:
        try:
            place = LogPlace.objects.select_related("destination", "stream__source__system").get(pk=self._pk)
            if place.retry_at is None or place.retry_at <= timezone.now():
                self._bring(place)
        except (DatabaseError, LogPlace.DoesNotExist):
            connections.close_all()  # The panel's database is away, or the stream is gone: looked at again.

    def _bring(self, place: LogPlace) -> None:
        """Everything that it lacks."""
        while not self._ended.is_set() and (one := lacking(place)) is not None:
            try:
                self._put(place, one)
            except OperationFailed as error:
                self._plugin = None
                failed(place, error)
                return
            arrived(place, one)

    def _put(self, place: LogPlace, one: LogSegment) -> None:
        """The stored bytes, then the record. Raises OperationFailed."""
        if self._plugin is None:
            self._plugin = place.destination.build()
        with stored_bytes(one, self._spool, place) as source:
            put = self._plugin.put(one.key, source, expected_size=one.stored_size)
        if put.size != one.stored_size:
            raise OperationFailed(
                f"{one.key} has {put.size} bytes at {place.destination}, not {one.stored_size}.",
                "Look at the destination: is it full, or does something else write there?",
            )
        content = record_of(one)
        key = records.record_key(one.key)
        self._plugin.put(key, io.BytesIO(content), expected_size=len(content))


def lacking(place: LogPlace) -> LogSegment | None:
    """The next segment that is to go there."""
    rows = LogSegment.objects.filter(stream=place.stream_id, last__gt=place.through, last__gte=place.since)
    return rows.select_related("incarnation", "stream__source__system").order_by("last").first()


def arrived(place: LogPlace, one: LogSegment) -> None:
    """Everything up to `one` is there; so everything before the newest mark that it covers is safe there."""
    place.through, place.failures, place.retry_at, place.fault = one.last, 0, None, ""
    if one.marks:
        place.stored_until = records.read_marks(one.marks)[-1].at
    place.save(update_fields=["through", "failures", "retry_at", "fault", "stored_until"])


def failed(place: LogPlace, error: OperationFailed) -> None:
    """Leave it alone for a while."""
    pause = PAUSES[min(place.failures, len(PAUSES) - 1)] * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
    place.failures += 1
    place.retry_at = timezone.now() + timedelta(seconds=pause)
    place.fault = redact(f"{error.message} {error.hint}".strip())
    place.save(update_fields=["failures", "retry_at", "fault"])


@contextmanager
def stored_bytes(one: LogSegment, spool: Spool, wanted_by: LogPlace) -> Iterator[Reader]:
    """The bytes as they are stored: from the spool, or from a destination that has them already."""
    path = spool.path(one.last)
    if path.exists():
        with path.open("rb") as file:
            yield file
        return
    others = one.stream.places.filter(through__gte=one.last, since__lte=one.last).exclude(pk=wanted_by.pk)
    other = others.select_related("destination").first()
    if other is None:
        raise OperationFailed(
            f"{one.key} waited on this machine, and is not there any more.",
            "It is fetched from the server again if that still has it.",
        )
    source = other.destination.build(Role.READ).open(one.key)
    try:
        yield source
    finally:
        source.close()


def record_of(one: LogSegment) -> bytes:
    """The signed record beside the segment."""
    key, source = publish.signing_key(), one.stream.source
    record = records.Record(
        source.system.slug, source.name, source.engine, one.segment, one.created_at, tuple(one.recipients),
        one.incarnation.reason, key.fingerprint, sealed_to(one.recipients, {"plain_blake3": one.plain_blake3}),
    )  # fmt: skip
    return record.to_bytes(key.sign)


def read_small(plugin: DestinationPlugin, key: str) -> bytes:
    """A small object, whole. Raises OperationFailed when it is larger than a record can be."""
    source = plugin.open(key)
    try:
        pieces, size = [], 0
        while block := source.read(BLOCK):
            pieces.append(block)
            size += len(block)
            if size > records.LARGEST:
                raise OperationFailed(f"{key} is larger than a record can be.", permanent=True)
    finally:
        source.close()
    return b"".join(pieces)
