"""What a running job has in its hands: its log, its progress, its children, and the wish to stop it."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, close_old_connections, connections
from django.db.models import QuerySet
from django.utils import timezone

from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.models import STALE_AFTER, Job, Line, State
from drcenter.process import Children
from drcenter.secrets import redact

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
# How soon a signal to stop is noticed.
LOOK_SECONDS = 0.2
# How long `sure` waits for the panel's database.
PATIENCE_SECONDS = 600.0


class JobContext:
    """Handed to the function of a job. `children` is killed when the job is cancelled or was taken away.

    The heartbeat runs in a thread of its own: it shows progress, notices a request to cancel, and notices
    that the row belongs to another attempt by now (a stalled worker that wakes up must not go on).
    While the panel's database is away the work goes on: log lines and progress wait for its return.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.children = Children()
        # Set by a signal handler, which may not take any lock; the heartbeat acts on it.
        self.workers_stop = False
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._reason = ""
        self._deaf = False
        self._lock = threading.Lock()
        self._phase, self._item = job.phase, job.item
        self._done, self._expected = 0, 0
        self._measured = (time.monotonic(), 0)
        self._rate = 0.0
        # When the row last was ours; claiming it was the first time.
        self._beaten = time.monotonic()
        self._lines: list[Line] = []
        self._writing = threading.Lock()
        self._owner = threading.get_ident()
        self._thread = threading.Thread(target=self._live, name=f"heartbeat-{job.pk}", daemon=True)

    # ------------------------------------------------------------------ for the work

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the job's log, redacted: at once, or at the next heartbeat when another thread calls."""
        line = Line(job=self.job, at=timezone.now(), level=level, text=redact(str(text)))
        with self._lock:
            self._lines.append(line)
        if threading.get_ident() == self._owner:
            self._keep(self._write_lines)

    def phase(self, phase: str, item: str = "", expected: int | None = None) -> None:
        """Say what happens now, on what, and, where known, how many bytes it will be; counting starts at 0.

        Raises Cancelled.
        """
        self.check()
        with self._lock:
            self._phase, self._item = redact(str(phase))[:120], redact(str(item))[:200]
            self._done, self._expected = 0, expected or 0
            self._measured, self._rate = (time.monotonic(), 0), 0.0
        if threading.get_ident() == self._owner:
            self._keep(self._write)

    def advance(self, count: int) -> None:
        """`count` more bytes are done. Cheap: call it for every block. Raises Cancelled."""
        self._done += count
        if self._stopped.is_set():
            self.check()

    def check(self) -> None:
        """Raises Cancelled when somebody wants the job to stop, OperationFailed when it was taken away."""
        if not self._stopped.is_set():
            return
        if self._reason == "lost":
            raise OperationFailed("Another attempt has taken this job over; this one stops.", permanent=True)
        raise Cancelled

    def sure(self) -> None:
        """Call it before what cannot be undone: nobody may take the row for lost and act on it meanwhile.

        Returns when a heartbeat was written that is younger than STALE_AFTER; waits while the panel's database is
        away. Raises Cancelled like `check`, and OperationFailed when the row belongs to others by now, or when
        the database stays away.
        """
        self._keep(self._pulse)
        began = time.monotonic()
        while time.monotonic() - self._beaten >= STALE_AFTER.total_seconds():
            self.check()
            if time.monotonic() - began >= PATIENCE_SECONDS:
                raise OperationFailed(
                    "The panel's database is away, so that nobody knows whether this job still counts.",
                    "Bring the panel's database back.",
                )
            time.sleep(LOOK_SECONDS)
            self._keep(self._pulse)
        self.check()

    @property
    def cancelled(self) -> bool:
        return self._stopped.is_set() and self._reason != "lost"

    @property
    def counted(self) -> tuple[int, int]:
        """Bytes done and expected of the present phase."""
        return self._done, self._expected

    # ------------------------------------------------------------------ for whoever runs it

    @property
    def reason(self) -> str:
        """Why it stops: "cancelled" by a person, "workers" are stopped, "lost" to the reaper, or ""."""
        return self._reason

    def __enter__(self) -> "JobContext":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.children.kill()
        self._keep(self._write_lines)

    def go_on(self) -> None:
        """Go on after a request to stop, deaf to further ones: for the way back out of a half-done act.

        Raises OperationFailed when the job belongs to another attempt: then nothing may be touched any more.
        """
        if self._stopped.is_set() and self._reason == "lost":
            self.check()
        self._deaf = True
        self._stopped.clear()
        self.children = Children()

    def stop(self, reason: str) -> None:
        """Make the work stop: no further child starts, running ones are killed.

        The first reason stands, but for "lost", which comes before all others.
        """
        if not self._stopped.is_set() or reason == "lost":
            self._reason = reason
            self._stopped.set()
        self.children.kill()

    def mine(self) -> QuerySet[Job]:
        """The row, if it still belongs to this attempt: the condition of every update."""
        return Job.objects.filter(pk=self.job.pk, state=State.RUNNING, attempt=self.job.attempt)

    def _live(self) -> None:
        try:
            beaten = time.monotonic()
            while not self._ended.wait(LOOK_SECONDS):
                if self.workers_stop and not self._deaf and not self._stopped.is_set():
                    self.stop("workers")
                if time.monotonic() - beaten >= BEAT_SECONDS:
                    self._beat()
                    beaten = time.monotonic()
        finally:
            connections.close_all()

    def _beat(self) -> None:
        """Write the sign of life, and the lines after it: no line may keep it from being written."""
        try:
            close_old_connections()
            self._measure()
            if self._pulse() and not self._deaf and self.mine().exclude(cancel_requested_by="").exists():
                self.stop("cancelled")
        except DatabaseError:
            # The panel's database is away: the work goes on; if it stays away, the reaper decides.
            connections.close_all()
            return
        except Exception:
            logger.exception("job %s: its heartbeat failed", self.job.pk)
        self._keep(self._write_lines)

    def _measure(self) -> None:
        with self._lock:
            then, before = self._measured
            now, done = time.monotonic(), self._done
            current = (done - before) / max(now - then, 0.001)
            self._rate = current if not self._rate else 0.7 * self._rate + 0.3 * current
            self._measured = (now, done)

    def _pulse(self) -> bool:
        """Write the sign of life; False, and everything stops, when the row belongs to others."""
        if won := self._write():
            self._beaten = time.monotonic()
        else:
            self.stop("lost")
        return won

    def _write(self) -> bool:
        return bool(
            self.mine().update(
                heartbeat_at=timezone.now(), phase=self._phase, item=self._item, bytes_done=self._done,
                bytes_expected=self._expected, rate=int(self._rate),
            )
        )  # fmt: skip

    def _write_lines(self) -> bool:
        # One writer at a time keeps the order; whoever comes second leaves its lines to the next heartbeat.
        if not self._writing.acquire(blocking=False):
            return False
        try:
            with self._lock:
                lines = list(self._lines)
            Line.objects.bulk_create(lines)
            with self._lock:
                del self._lines[: len(lines)]
        finally:
            self._writing.release()
        return True

    def _keep(self, write: Callable[[], bool]) -> None:
        """Write now if it can be written; the next heartbeat tries again otherwise. The work never fails for it."""
        try:
            write()
        except DatabaseError as error:
            logger.warning("job %s: the panel's database failed: %s", self.job.pk, error)
        except Exception:
            logger.exception("job %s: its log or progress cannot be written", self.job.pk)
