"""The edge between the queue and the work: claims, runs, and writes down how it ended."""

import logging
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from types import FrameType

from django.db import DatabaseError, connections
from django.utils import timezone
from django.utils.translation import gettext as _

from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job, State
from drcenter.jobs.registry import kind
from drcenter.jobs.settle import settle
from drcenter.secrets import redact
from drcenter.stored import in_english

logger = logging.getLogger(__name__)

SKIPPED = "skipped"
# Seconds between tries to write down the end of a job while the panel's database is away: 10 minutes in all.
PAUSES = (0.2, 0.5, 1, 2, 5, 10, *[20] * 29)


class _Process:
    """What this process does: the job that runs, and whether it may claim another."""

    running: JobContext | None = None
    stops = False


@dataclass(frozen=True)
class End:
    """How a job ended."""

    state: State
    message: str = ""
    hint: str = ""
    permanent: bool = False


def run_job(pk: int) -> str:
    """Run the job `pk` unless somebody else does; returns its state, or "skipped".

    Returns normally whatever happens, so that the queue never repeats it: whether a job runs again is
    decided by a plan or a person.
    """
    job = _claimed(pk)
    if job is None:
        return SKIPPED
    context = JobContext(job)
    _Process.running = context
    listen_for_stop()
    try:
        with in_english(), context:
            return _write_down(context, _attempt(context))
    finally:
        _Process.running = None


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _claimed(pk: int) -> Job | None:
    if _Process.stops:
        return None  # It stays queued; the dispatcher sends it again when the workers are back.
    try:
        return Job.objects.claim(pk, worker_name())
    except DatabaseError as error:
        logger.error("job %s cannot be claimed: %s", pk, error)
        return None


def listen_for_stop() -> None:
    """From now on SIGUSR1 stops the running job and keeps this process from claiming another one.

    Called before the workers are forked, which inherit it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, _on_stop)


def _on_stop(number: int, frame: FrameType | None) -> None:
    # A handler runs between any two instructions of the main thread: it may not wait for a lock.
    from django_q.conf import Conf

    _Process.stops = True
    # A worker that went away now would leave the next message to nobody, and its cluster would wait for ever.
    Conf.RECYCLE = 0
    if _Process.running is not None:
        _Process.running.workers_stop = True


def _attempt(context: JobContext) -> End:
    job = context.job
    try:
        kind(job.kind).work(context, job.subject)
    except Cancelled:
        return _stopped(context)
    except OperationFailed as error:
        return _stopped(context) if context.cancelled else _failed(error)
    except KeyboardInterrupt:
        return End(State.CANCELLED, _("Stopped by Ctrl-C."))
    except BaseException as error:
        if context.cancelled:
            return _stopped(context)
        logger.exception("job %s broke", job.pk)
        return _broken(error)
    return End(State.SUCCEEDED)


def _stopped(context: JobContext) -> End:
    if context.reason == "workers":
        hint = _("Start it again, or wait for its next planned time.")
        return End(State.CANCELLED, _("The workers were stopped while it ran."), hint)
    return End(State.CANCELLED, _("Stopped on request."))


def _failed(error: OperationFailed) -> End:
    return End(State.FAILED, error.message, error.hint, error.permanent)


def _broken(error: BaseException) -> End:
    from django_q.exceptions import TimeoutException

    if isinstance(error, TimeoutException):
        return End(
            State.FAILED, _("It took longer than jobs may: %(error)s.") % {"error": error},
            _("Look at its log for the phase that hung; a backup of this size may need several plans."),
        )  # fmt: skip
    return End(
        State.FAILED,
        _("An unexpected error: %(kind)s: %(error)s") % {"kind": type(error).__name__, "error": error},
        _("This is a bug of the DR Center, or of a library; the worker's log has the details."),
    )  # fmt: skip


def _write_down(context: JobContext, end: End) -> str:
    """Write how it ended, however long the database is away: a good backup must not turn into a lost one."""
    for pause in PAUSES:
        try:
            written = _written(context, end)
        except DatabaseError as error:
            logger.warning("job %s: its end cannot be written yet: %s", context.job.pk, error)
            connections.close_all()
            time.sleep(pause)
            continue
        if not written:
            return State.LOST.value
        settle(context.job.pk)
        return end.state.value
    logger.error("job %s ended as %s, which could not be written", context.job.pk, end.state)
    return State.LOST.value


def _written(context: JobContext, end: End) -> bool:
    done, expected = context.counted
    if context.mine().update(
        state=end.state, finished_at=timezone.now(), message=redact(end.message), hint=redact(end.hint),
        permanent=end.permanent, bytes_done=done, bytes_expected=expected,
    ):  # fmt: skip
        return True
    # The connection may have broken after the database had done it.
    job = context.job
    return Job.objects.filter(pk=job.pk, attempt=job.attempt, state=end.state, worker=job.worker).exists()
