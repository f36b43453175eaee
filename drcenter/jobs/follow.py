"""Shows a job on a terminal while it runs, in another process or in this one."""

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from django.db import DatabaseError, connections
from django.utils.translation import gettext as _

from drcenter import sizes
from drcenter.jobs.models import STALE_AFTER, Job, Line, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import SKIPPED, run_job
from drcenter.stored import shown

POLL_SECONDS = 0.5


class Follower:
    """Writes new log lines as they come, and on a terminal one line of progress that replaces itself."""

    def __init__(self, job: Job, out: TextIO) -> None:
        self._pk, self._out = job.pk, out
        self._terminal = out.isatty()
        self._last_line = 0
        self._width = 0
        self._gone = False

    def show(self) -> Job:
        """Write what is new; the job as it is now."""
        job = Job.objects.get(pk=self._pk)
        for line in Line.objects.filter(job_id=self._pk, pk__gt=self._last_line).order_by("pk"):
            self.say(line.text)
            self._last_line = line.pk
        self._replace(_progress(job) if job.is_open else "")
        return job

    def say(self, text: str) -> None:
        """One line of its own."""
        self._replace("")
        self._write(f"  {text}\n")

    def _replace(self, text: str) -> None:
        if not self._terminal:
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + text.ljust(self._width) + ("" if text else "\r"))
        self._width = len(text)

    def _write(self, text: str) -> None:
        """A terminal that went away, or a pipe that nobody reads any more, stops no job."""
        if self._gone:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            self._gone = True


def _progress(job: Job) -> str:
    if not job.phase:
        return f"  {job.get_state_display()}"
    done = f": {sizes.size(job.bytes_done)}" if job.bytes_done or job.bytes_expected else ""
    percent = f" {job.percent} %" if job.percent is not None else ""
    rate = f", {sizes.size(job.rate)}/s" if job.rate else ""
    left = f", {job.seconds_left} s" if job.seconds_left is not None else ""
    return f"  {shown(job.phase)} {shown(job.item)}{done}{percent}{rate}{left}"


def follow(job: Job, out: TextIO) -> Job:
    """Wait for a worker to end the job; the job as it ended. Ctrl-C stops waiting, not the job."""
    follower = Follower(job, out)
    hinted = began = time.monotonic()
    while (current := follower.show()).is_open:
        if current.state == State.QUEUED and time.monotonic() - hinted > 15:
            follower.say(_waits(current, time.monotonic() - began))
            hinted = time.monotonic()
        time.sleep(POLL_SECONDS)
    return current


def _waits(job: Job, seconds: float) -> str:
    if (other := _in_the_way(job)) is not None:
        return _("It waits for %(other)s, which runs on the same system.") % {"other": other}
    return _("No worker has taken it for %(seconds)d s; manage.py run starts them.") % {"seconds": seconds}


def _in_the_way(job: Job) -> Job | None:
    return Job.objects.filter(target=job.target, state=State.RUNNING).exclude(pk=job.pk).first()


def run_here(job: Job, out: TextIO, actor: str = "shell") -> Job:
    """Run the job in this process, once nothing else runs on its target; the job as it ended.

    The first Ctrl-C, or SIGTERM, asks it to stop in order, as `actor`; a second one breaks off at once. A
    terminal that is lost stops nothing.
    """
    here = _Here(job, out, actor)
    with _signals(here.stop), here.watched():
        try:
            here.run()
        finally:
            # What nobody waits for any more must not begin later, in a worker.
            if Job.objects.filter(pk=job.pk, state=State.QUEUED).exists():
                cancel(job, actor)
    return here.follower.show()


class _Here:
    """What surrounds a job that runs in this process."""

    def __init__(self, job: Job, out: TextIO, actor: str) -> None:
        self.job, self.actor = job, actor
        self.follower = Follower(job, out)
        self.stop = threading.Event()
        self._ended = threading.Event()
        self._asked = False
        self._other: tuple[int, object] = (0, None)
        self._other_since = 0.0

    def run(self) -> None:
        """Run the job when its turn has come. A worker may be faster: then wait for that one."""
        while (current := Job.objects.get(pk=self.job.pk)).is_open:
            if current.state == State.QUEUED:
                self._let_go_of_the_dead()
                if _in_the_way(current) is None and run_job(current.pk) != SKIPPED:
                    continue
            time.sleep(POLL_SECONDS)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A thread shows progress, and hands on the wish to stop: the work is in the main thread."""
        watcher = threading.Thread(target=self._watch, name="follow", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            try:
                if self.stop.is_set() and not self._asked:
                    self.follower.say(_("It stops in order. Once more breaks off at once."))
                    cancel(self.job, self.actor)
                    self._asked = True
                self.follower.show()
            except DatabaseError:
                # The work goes on without the panel's database; it is shown when that is back.
                connections.close_all()
        connections.close_all()

    def _let_go_of_the_dead(self) -> None:
        """What runs on the same target is in the way. Without workers nobody else would see that it is dead."""
        other = _in_the_way(self.job)
        seen = (other.pk, other.heartbeat_at) if other is not None else (0, None)
        if seen != self._other:
            if other is not None and other.pk != self._other[0]:
                self.follower.say(
                    _("It waits for %(other)s, which runs on the same system.") % {"other": other}
                )
            self._other, self._other_since = seen, time.monotonic()
        if other is not None and time.monotonic() - self._other_since > STALE_AFTER.total_seconds():
            lose(other)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    def carry_on(number: int, frame: FrameType | None) -> None:
        """Not SIG_IGN, which every child would inherit."""

    wanted = {signal.SIGINT: ask, signal.SIGTERM: ask, signal.SIGHUP: carry_on}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
