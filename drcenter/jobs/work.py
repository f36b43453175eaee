"""The edge between the queue and the work: claims, runs, and writes down how it ended."""

import logging
import os
import signal
import socket
import threading
from types import FrameType

from django.utils import timezone

from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job, State
from drcenter.jobs.registry import kind
from drcenter.secrets import redact

logger = logging.getLogger(__name__)


def run_job(pk: int) -> str:
    """Run the job `pk` unless somebody else does; returns its state, or "skipped".

    Returns normally whatever happens, so that the queue never repeats it: whether a job runs again is
    decided by a plan or a person.
    """
    job = Job.objects.claim(pk, worker_name())
    if job is None:
        return "skipped"
    context = JobContext(job)
    _listen_for_stop(context)
    with context:
        return _attempt(context)


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _listen_for_stop(context: JobContext) -> None:
    """SIGUSR1 asks the running job to stop: the supervisor sends it before it ends a worker."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, frame: FrameType | None) -> None:
        context.stop("cancelled")

    signal.signal(signal.SIGUSR1, stop)


def _attempt(context: JobContext) -> str:
    job = context.job
    try:
        kind(job.kind).work(context, job.subject)
    except Cancelled:
        return _end(context, State.CANCELLED, "Stopped on request.", "")
    except OperationFailed as error:
        if context.cancelled:
            return _end(context, State.CANCELLED, "Stopped on request.", "")
        return _end(context, State.FAILED, error.message, error.hint, permanent=error.permanent)
    except BaseException as error:
        if context.cancelled:
            return _end(context, State.CANCELLED, "Stopped on request.", "")
        logger.exception("job %s broke", job.pk)
        return _end(
            context, State.FAILED, f"An unexpected error: {type(error).__name__}: {error}",
            "This is a bug of the DR Center, or of a library; the worker's log has the details.",
        )  # fmt: skip
    return _end(context, State.SUCCEEDED, "", "")


def _end(context: JobContext, state: State, message: str, hint: str, *, permanent: bool = False) -> str:
    done, expected = context.counted
    changed = context.mine().update(
        state=state, finished_at=timezone.now(), message=redact(message), hint=redact(hint), permanent=permanent,
        bytes_done=done, bytes_expected=expected,
    )  # fmt: skip
    if not changed:
        return State.LOST.value
    if ended := kind(context.job.kind).ended:
        ended(Job.objects.get(pk=context.job.pk))
    return state.value
