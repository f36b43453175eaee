"""Archives one stream: receives the server's log, cuts it into segments, and hands them to the couriers.

The story of one connection: find out where the archive ends and whether the server still goes on from there (if not,
a new incarnation begins, and people are told at once); receive into an empty directory; compare what comes again with
what is stored; then store what has grown, every few seconds, and note what the server's clock says of its positions.
Whatever ends the connection, what has arrived until then is stored first. It may be killed at any point: rows, spool
and destinations say what is done, and the rest is fetched again.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone

from backups.engines._log_source import Broken, LogSource
from backups.leftovers import held_directory
from backups.logs import incarnations, lease
from backups.logs.chain import Mark
from backups.logs.couriers import Couriers
from backups.logs.growth import SPOOL_BYTES, Growth, require_room
from backups.logs.marks import Marks
from backups.logs.spool import Spool
from backups.models import LogSegment, LogStream
from backups.storage import publish
from drcenter.errors import OperationFailed
from drcenter.process import Child, describe_exit, start
from drcenter.secrets import redact

RECEIVING = "received-"
# Seconds before the next connection, longer each time; a minute of good running resets it.
PAUSES = (1, 2, 5, 10, 30)
SETTLED = 60.0
LOOK_SECONDS = 0.25
MARK_SECONDS = 1.0
BEAT_SECONDS = 2.0
# The server has more than has arrived, and nothing comes: the connection is dead without a word.
STALLED_SECONDS = 30.0
FAREWELL_SECONDS = 10.0


def directory_of(stream: LogStream) -> Path:
    return Path(settings.STATE_DIR) / "logs" / f"stream-{stream.pk}"


class Archiver:
    """Holds the lease of a stream while `run` runs."""

    def __init__(self, stream: LogStream, worker: str, stop: threading.Event) -> None:
        self._pk, self._worker, self._stop = stream.pk, worker, stop
        self._spool = Spool(directory_of(stream) / "spool")
        self._couriers = Couriers(stream.pk, self._spool)
        self._release: Release | None = None

    def run(self) -> None:
        """Until `stop` is set, the stream is switched off, or another archiver has it."""
        failures = 0
        try:
            while not self._stop.is_set() and self._wanted():
                began = time.monotonic()
                self._try()
                failures = 0 if time.monotonic() - began > SETTLED else failures + 1
                self._pause(PAUSES[min(failures, len(PAUSES)) - 1] if failures else 0)
        except lease.LostLease:
            return
        finally:
            self._couriers.end(FAREWELL_SECONDS)
            self._let_go()
            lease.release(self._pk, self._worker)
            connections.close_all()

    def _let_go(self) -> None:
        """Of a stream that was switched off the server keeps nothing more."""
        stream = LogStream.objects.select_related("source").filter(pk=self._pk, enabled=False).first()
        if stream is not None:
            try:
                source_of(stream).release()
            except OperationFailed as error:
                LogStream.objects.filter(pk=self._pk).update(
                    message=redact(error.message), hint=redact(error.hint)
                )

    def _try(self) -> None:
        """One connection, to its end."""
        try:
            self._connection()
        except lease.LostLease:
            raise
        except OperationFailed as error:
            self._note(error.message, error.hint)
            self._unwell()
        except OSError as error:
            self._note(f"{error.strerror}: {error.filename}", "Look at the disk of the state directory.")
            self._unwell()

    def _unwell(self) -> None:
        """The source may have a policy for that. What it says counts more than why nothing was received."""
        try:
            source_of(LogStream.objects.select_related("source").get(pk=self._pk)).unwell()
        except OperationFailed as error:
            self._note(error.message, error.hint)

    def _wanted(self) -> bool:
        return LogStream.objects.filter(pk=self._pk, enabled=True, worker=self._worker).exists()

    def _pause(self, seconds: float) -> None:
        """Wait, and be heard of meanwhile."""
        end = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < end:
            lease.renew(self._pk, self._worker)
            self._stop.wait(min(BEAT_SECONDS, max(0.0, end - time.monotonic())))

    def _note(self, message: str, hint: str) -> None:
        """Why it does not run, for people; who is told of it, backups.logs.watch decides."""
        lease.renew(
            self._pk, self._worker, state=LogStream.State.BROKEN, message=redact(message), hint=redact(hint)
        )

    # ------------------------------------------------------------------ one connection

    def _connection(self) -> None:
        incarnations.reconcile(self._pk, self._spool)
        self._couriers.start()
        self._couriers.tidy(SPOOL_BYTES)
        require_room(self._spool)
        stream = LogStream.objects.select_related("source__system", "plan").get(pk=self._pk)
        source = source_of(stream)
        source.prepare()
        self._release = Release(self._pk, source)
        beginning = incarnations.begin(stream, source)
        growth = Growth(stream, self._worker, source, beginning, self._spool)
        with ExitStack() as stack:
            directory = stack.enter_context(held_directory(directory_of(stream), RECEIVING))
            ask = stack.enter_context(source.watched())
            child = stack.enter_context(start(source.command(directory, beginning.log)))
            try:
                self._follow(stream, child, ask, partial(self._grow, growth, directory), growth)
            except Broken as error:
                incarnations.break_off(stream, source, error.message)

    def _grow(self, growth: Growth, directory: Path, marks: Marks) -> bool:
        grown = growth.store(directory, marks)
        if grown:
            self._couriers.wake()
        return grown

    def _follow(
        self, stream: LogStream, child: Child, ask: Callable[[], Mark], grow: Callable[[Marks], bool], growth: Growth
    ) -> None:  # fmt: skip
        """Until the connection is lost, or somebody wants an end. What has arrived until then is stored."""
        marks, asked, stored, beaten = Marks(), -inf, -inf, -inf
        moved = time.monotonic()
        while not self._stop.is_set() and child.code is None:
            now = time.monotonic()
            if now - asked >= MARK_SECONDS:
                asked = now
                self._ask(marks, ask, grow, growth)
            if now - stored >= stream.interval:
                stored = now
                moved = now if grow(marks) or not growth.waits_for(marks.newest) else moved
            if now - moved > STALLED_SECONDS:
                raise OperationFailed(
                    "The server has more of its log, and nothing arrives: the connection is dead."
                )
            if now - beaten >= BEAT_SECONDS:
                beaten = now
                try:
                    self._beat(stream, marks)
                except lease.LostLease:
                    raise
                except OperationFailed:
                    # The server that it tells what is safe has died: what has arrived since is nowhere else now.
                    grow(marks)
                    raise
            self._stop.wait(LOOK_SECONDS)
        grow(marks)
        self._beat(stream, marks)
        if child.code is not None:
            how = describe_exit(child.wait())
            raise OperationFailed(f"{child.command.tool} {how}: {child.stderr or 'no message'}")

    def _ask(
        self, marks: Marks, ask: Callable[[], Mark], grow: Callable[[Marks], bool], growth: Growth
    ) -> None:  # fmt: skip
        asked_at = timezone.now()
        try:
            mark = ask()
        except OperationFailed:
            grow(marks)
            raise
        if growth.goes_back(marks.newest, mark):
            # The server's end of this connection may wait for ever for the old place to come.
            raise OperationFailed(f"The server's log went back to {mark.position}: it was reset.")
        marks.take(mark, asked_at)

    def _beat(self, stream: LogStream, marks: Marks) -> None:
        """A sign of life with what is known: where the server is, what is safe where, whether the promise is kept."""
        if not self._wanted():
            raise lease.LostLease
        self._couriers.start()
        self._couriers.tidy(SPOOL_BYTES)
        if self._release is not None:
            self._release.look(self._couriers.through())
        changes: dict[str, Any] = {}
        if marks.newest is not None:
            position = marks.newest.position
            changes = {
                "server_log": position.log,
                "server_offset": position.offset,
                "server_at": marks.newest.at,
            }
        for place in stream.places.all():
            if (safe := marks.safe(place.through)) is not None:
                stream.places.filter(pk=place.pk).update(stored_until=safe.mark.at)
                if stream.safe_at is None or safe.asked_at > stream.safe_at:
                    stream.safe_at, stream.stored_until = safe.asked_at, safe.mark.at
        marks.forget(self._couriers.through())
        late = stream.lag_seconds is None or stream.lag_seconds > stream.promise
        state = LogStream.State.BEHIND if late else LogStream.State.RUNNING
        lease.renew(
            self._pk, self._worker, state=state, message="", hint="", stored_until=stream.stored_until,
            safe_at=stream.safe_at, **changes,
        )  # fmt: skip


class Release:
    """Tells the server how far it may let go of its log."""

    def __init__(self, stream: int, source: LogSource) -> None:
        self._stream, self._source, self._told = stream, source, 0

    def look(self, through: int) -> None:
        """Every destination has the segments up to the number `through`."""
        if through == self._told:
            return
        rows = LogSegment.objects.filter(stream=self._stream, last__lte=through)
        if (newest := rows.select_related("incarnation").order_by("-last").first()) is not None:
            self._source.stored(newest.segment.ends_at)
        self._told = through


def source_of(stream: LogStream) -> LogSource:
    """Raises OperationFailed where there is no log to archive."""
    source = stream.source.build().logs(token_of(stream))
    if source is None:
        raise OperationFailed(
            f"{stream.source} has no log that can be archived.",
            "Switch the stream off on its page.",
            permanent=True,
        )
    return source


def token_of(stream: LogStream) -> str:
    """What tells the archiver of this stream from all others that the same server may have."""
    return f"{publish.signing_key().fingerprint[:16]}s{stream.source_id}"
