"""What has grown in the received log files becomes segments; what comes again is compared with what is stored."""

from pathlib import Path

from django.db import transaction

from backups.engines._log_source import Broken, Cut, DamagedLog, LogSource, Received
from backups.logs import lease, records
from backups.logs.chain import Mark, Segment
from backups.logs.incarnations import Beginning
from backups.logs.marks import Marks
from backups.logs.spool import Spool, Stretch
from backups.models import LogSegment, LogStream
from backups.pipe.stream import StoredPart
from backups.recovery import identities
from drcenter.errors import OperationFailed

# Of the plain bytes: a segment of a log that is caught up on. One that is followed has seconds of it.
MOST = 64 << 20
# Of stored bytes that wait for a destination on this machine.
SPOOL_BYTES = 2 << 30


class Growth:
    """The state of one connection: which byte of which log file comes next, as which number of the chain."""

    def __init__(
        self, stream: LogStream, worker: str, source: LogSource, beginning: Beginning, spool: Spool
    ) -> None:
        self._stream, self._worker, self._source, self._spool = stream, worker, source, spool
        self._incarnation, last = beginning.incarnation, beginning.last
        newest = stream.newest()
        self.number = newest.last if newest else 0
        self._previous = newest.segment.link if newest else ""
        self._finished: set[str] = set()
        self._log, self._offset = beginning.log, 0
        self._known: list[LogSegment] = []
        if last is not None and last.log == beginning.log:
            self._offset = last.end
            self._known = list(self._incarnation.segments.filter(log=last.log).order_by("number", "last"))
        elif last is not None:
            self._finished.add(last.log)
        self._keys = identities.recipients() if stream.plan.encrypt else []

    def store(self, directory: Path, marks: Marks) -> bool:
        """Everything whole that has arrived. True if something was stored. Raises Broken, DamagedLog, LostLease."""
        before = self.number
        for file in self._source.received(directory):
            if file.log in self._finished:
                continue
            if not self._expected(file) or not self._compared(file):
                break
            while (cut := self._source.cut(file, self._offset, MOST)) is not None:
                self._store(file, cut, marks)
            if not file.final:
                break
            self._finish(file)
        if not self._known:
            marks.note(self.number, self.covers)
        return self.number > before

    def covers(self, mark: Mark) -> bool:
        """Whether everything up to the mark's position is stored."""
        position = mark.position
        return position.log in self._finished or (
            position.log == self._log and position.offset <= self._offset
        )

    def waits_for(self, mark: Mark | None) -> bool:
        """Whether the server has said that it has more than is stored."""
        return mark is not None and not self.covers(mark)

    def goes_back(self, before: Mark | None, mark: Mark) -> bool:
        """Whether the server now names an earlier place than it did before: within one life its log only grows."""
        if before is None or mark.position.log != before.position.log:
            return before is not None and mark.position.log in self._finished
        return mark.position.offset < before.position.offset

    def _expected(self, file: Received) -> bool:
        if not self._log:
            self._log, self._offset = file.log, 0
        return file.log == self._log

    def _compared(self, file: Received) -> bool:
        """What was stored of this log file before comes again: it has to be the same. False: not all has come."""
        while self._known and file.size >= self._known[0].end:
            one = self._known.pop(0)
            if one.plain_blake3 and one.plain_blake3 != Stretch(file.path, one.begin, one.end).blake3():
                raise Broken(
                    f"What the server has in {file.log} is not what is stored of it: its log was reset, or another server"
                    " answers."
                )
        if self._known and file.final:
            raise Broken(f"{file.log} is shorter on the server than what is stored of it: its log was reset.")
        return not self._known

    def _finish(self, file: Received) -> None:
        """Nothing more comes of it."""
        if self._offset < file.size:
            raise DamagedLog(f"{file.log} ends in the middle of something.", "It is fetched again.")
        LogSegment.objects.filter(stream=self._stream, last=self.number, log=file.log).update(final=True)
        self._finished.add(file.log)
        self._log = ""
        file.path.unlink()

    # ------------------------------------------------------------------ one segment

    def _store(self, file: Received, cut: Cut, marks: Marks) -> None:
        """Into the spool, then the row; whoever dies in between does it again."""
        require_room(self._spool)
        lease.renew(self._stream.pk, self._worker)
        number, begin = self.number + 1, self._offset
        stretch = Stretch(file.path, begin, cut.end)
        stored = self._spool.add(number, stretch, self._keys, self._stream.plan.compression)
        self._offset = cut.end
        one = Segment(
            number, self._incarnation.name, file.log, begin, cut.end, file.final and cut.end == file.size,
            tuple(marks.attach(number, self.covers)), self._previous, stored.stored_sha256,
            stored_size=stored.stored_size, bounds=cut.bounds,
        )  # fmt: skip
        self._write_row(one, stored)
        self.number, self._previous = number, one.link

    def _write_row(self, one: Segment, stored: StoredPart) -> None:
        system, source = self._stream.source.system.slug, self._stream.source.name
        key = records.segment_key(system, source, one, encrypted=bool(self._keys))
        with transaction.atomic():
            lease.renew(self._stream.pk, self._worker)
            LogSegment.objects.create(
                stream=self._stream, incarnation=self._incarnation, number=one.number, last=one.last, log=one.log,
                begin=one.begin, end=one.end, final=one.final, marks=records.written_marks(one.marks),
                bounds=dict(one.bounds), previous=one.previous, digest=one.digest, key=key,
                stored_size=one.stored_size, plain_blake3=stored.plain_blake3, recipients=self._keys,
            )  # fmt: skip


def require_room(spool: Spool) -> None:
    """Raises OperationFailed while too much waits for the destinations."""
    if (size := spool.size()) >= SPOOL_BYTES:
        raise OperationFailed(
            f"{size / 2**30:.1f} GiB of the log wait on this machine: no destination takes them. Nothing more is"
            " received until one does.",
            "Look at the destinations of the stream. The server's own logs are the only copy of what comes now: see that"
            " it does not remove them (SHOW VARIABLES LIKE '%expire_logs%').",
        )
