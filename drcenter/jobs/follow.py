"""Shows a job on a terminal while it runs, in another process or in this one."""

import threading
import time
from typing import TextIO

from django.db import connections
from django.utils.translation import gettext as _

from drcenter.jobs.models import Job, Line
from drcenter.jobs.work import run_job

POLL_SECONDS = 0.5


class Follower:
    """Writes new log lines as they come, and on a terminal one line of progress that replaces itself."""

    def __init__(self, job: Job, out: TextIO) -> None:
        self._pk, self._out = job.pk, out
        self._last_line = 0
        self._width = 0

    def show(self) -> Job:
        """Write what is new; the job as it is now."""
        job = Job.objects.get(pk=self._pk)
        for line in Line.objects.filter(job_id=self._pk, pk__gt=self._last_line).order_by("pk"):
            self._replace("")
            self._out.write(f"\r  {line.text}\n")
            self._last_line = line.pk
        if self._out.isatty():
            self._replace(_progress(job) if job.is_open else "")
        self._out.flush()
        return job

    def _replace(self, text: str) -> None:
        if self._out.isatty():
            self._out.write("\r" + text.ljust(self._width) + ("\r" if not text else ""))
            self._width = len(text)


def _progress(job: Job) -> str:
    done = f"{job.bytes_done / 1e6:,.1f} MB"
    percent = f" {job.percent} %" if job.percent is not None else ""
    rate = f", {job.rate / 1e6:,.1f} MB/s" if job.rate else ""
    left = f", {job.seconds_left} s" if job.seconds_left is not None else ""
    return (
        f"  {job.phase} {job.item}: {done}{percent}{rate}{left}"
        if job.phase
        else f"  {job.get_state_display()}"
    )


def follow(job: Job, out: TextIO) -> Job:
    """Wait for a worker to end the job; the job as it ended. Ctrl-C stops waiting, not the job."""
    follower = Follower(job, out)
    hinted = began = time.monotonic()
    while (current := follower.show()).is_open:
        if current.started_at is None and time.monotonic() - hinted > 15:
            out.write("\r  " + _("No worker has taken it for %(seconds)d s; manage.py run starts them.") % {
                "seconds": time.monotonic() - began} + "\n")  # fmt: skip
            hinted = time.monotonic()
        time.sleep(POLL_SECONDS)
    return current


def run_here(job: Job, out: TextIO) -> Job:
    """Run the job in this process; the job as it ended. Ctrl-C cancels it."""
    ended = threading.Event()
    follower = Follower(job, out)

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            follower.show()
        connections.close_all()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        run_job(job.pk)
    finally:
        ended.set()
        watcher.join()
    return follower.show()
