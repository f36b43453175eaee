"""What a running job has in its hands: its log, its progress, its children, and the wish to stop it."""

import threading
import time

from django.db import DatabaseError, close_old_connections, connections
from django.db.models import QuerySet
from django.utils import timezone

from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.models import Job, Line, State
from drcenter.process import Children
from drcenter.secrets import redact

BEAT_SECONDS = 2.0


class JobContext:
    """Handed to the function of a job. `children` is killed when the job is cancelled or was taken away.

    The heartbeat runs in a thread of its own: it shows progress, notices a request to cancel, and notices
    that the row belongs to another attempt by now (a stalled worker that wakes up must not go on).
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.children = Children()
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._reason = ""
        self._lock = threading.Lock()
        self._phase, self._item = job.phase, job.item
        self._done, self._expected = 0, 0
        self._measured = (time.monotonic(), 0)
        self._rate = 0.0
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job.pk}", daemon=True)

    # ------------------------------------------------------------------ for the work

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the job's log, redacted, at once."""
        Line.objects.create(job=self.job, level=level, text=redact(str(text)))

    def phase(self, phase: str, item: str = "", expected: int | None = None) -> None:
        """Say what happens now, on what, and, where known, how many bytes it will be; counting starts at 0."""
        self.check()
        with self._lock:
            self._phase, self._item = redact(str(phase))[:120], redact(str(item))[:200]
            self._done, self._expected = 0, expected or 0
            self._measured, self._rate = (time.monotonic(), 0), 0.0
        self._write()

    def advance(self, count: int) -> None:
        """`count` more bytes are done. Cheap: call it for every block. Raises Cancelled."""
        self._done += count
        if self._stopped.is_set():
            self.check()

    def check(self) -> None:
        """Raises Cancelled when somebody wants the job to stop, OperationFailed when it was taken away."""
        if self._stopped.is_set():
            if self._reason == "cancelled":
                raise Cancelled
            raise OperationFailed("Another attempt has taken this job over; this one stops.", permanent=True)

    @property
    def cancelled(self) -> bool:
        return self._stopped.is_set() and self._reason == "cancelled"

    @property
    def counted(self) -> tuple[int, int]:
        """Bytes done and expected of the present phase."""
        return self._done, self._expected

    # ------------------------------------------------------------------ for whoever runs it

    def __enter__(self) -> "JobContext":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.children.kill()

    def stop(self, reason: str) -> None:
        """Make the work stop: no further child starts, running ones are killed."""
        self._reason = reason
        self._stopped.set()
        self.children.kill()

    def mine(self) -> QuerySet[Job]:
        """The row, if it still belongs to this attempt: the condition of every update."""
        return Job.objects.filter(pk=self.job.pk, state=State.RUNNING, attempt=self.job.attempt)

    def _beat(self) -> None:
        try:
            while not self._ended.wait(BEAT_SECONDS):
                self._pulse()
        finally:
            connections.close_all()

    def _pulse(self) -> None:
        try:
            close_old_connections()
            self._measure()
            if not self._write():
                self.stop("lost")
            elif self.mine().exclude(cancel_requested_by="").exists():
                self.stop("cancelled")
        except DatabaseError:
            # The panel's database is away: the work goes on; if it stays away, the reaper decides.
            connections.close_all()

    def _measure(self) -> None:
        with self._lock:
            then, before = self._measured
            now, done = time.monotonic(), self._done
            current = (done - before) / max(now - then, 0.001)
            self._rate = current if not self._rate else 0.7 * self._rate + 0.3 * current
            self._measured = (now, done)

    def _write(self) -> bool:
        return bool(
            self.mine().update(
                heartbeat_at=timezone.now(), phase=self._phase, item=self._item, bytes_done=self._done,
                bytes_expected=self._expected, rate=int(self._rate),
            )
        )  # fmt: skip
