"""Asking for a long act."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import IntegrityError, transaction
from django.utils import timezone

from drcenter.jobs.models import Job, State
from drcenter.jobs.registry import known_cluster

_kept = ContextVar("kept", default=False)


@contextmanager
def kept_here() -> Iterator[None]:
    """Jobs enqueued inside are not sent: the caller runs them itself, for when no worker lives any more.

    A caller that dies before it claims them leaves them to the dispatcher, which sends what waits too long.
    """
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)


def enqueue(name: str, subject: int, *, target: str, title: str, requested_by: str = "system") -> Job:
    """Create a job and hand it to its queue when the transaction commits.

    A job of the same kind for the same subject that still waits is returned instead of a second one.
    """
    for _ in range(3):
        waiting = Job.objects.filter(kind=name, subject=subject, state=State.QUEUED).first()
        if waiting is not None:
            return waiting
        try:
            return _create(name, subject, target=target, title=title, requested_by=requested_by)
        except IntegrityError:
            continue  # Somebody else was faster: theirs is the one that waits, unless it runs already.
    raise IntegrityError(f"Jobs of {name} for {subject} come and go too quickly.")


def _create(name: str, subject: int, *, target: str, title: str, requested_by: str) -> Job:
    with transaction.atomic():
        job = Job.objects.create(
            kind=name, subject=subject, target=target, title=title[:200], requested_by=requested_by[:150]
        )
        if not _kept.get():
            # A queue that cannot be reached does not fail what was committed: the dispatcher sends it again.
            transaction.on_commit(lambda: send(job), robust=True)
    return job


def send(job: Job) -> None:
    """Put the primary key into the queue. Sending twice does no harm: only one claim wins."""
    from django_q.tasks import async_task

    async_task(
        "drcenter.jobs.work.run_job", job.pk, cluster=known_cluster(job.kind), task_name=message_name(job.pk)
    )
    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())


def message_name(pk: int) -> str:
    """What the message of a job is called in the queue."""
    return f"job {pk}"
