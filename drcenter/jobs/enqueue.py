"""Asking for a long act."""

from django.db import transaction
from django.utils import timezone

from drcenter.jobs.models import Job, State
from drcenter.jobs.registry import kind


def enqueue(name: str, subject: int, *, target: str, title: str, requested_by: str = "system") -> Job:
    """Create a job and hand it to its queue when the transaction commits.

    A job of the same kind for the same subject that still waits is returned instead of a second one.
    """
    with transaction.atomic():
        waiting = Job.objects.filter(kind=name, subject=subject, state=State.QUEUED).first()
        if waiting is not None:
            return waiting
        job = Job.objects.create(
            kind=name, subject=subject, target=target, title=title[:200], requested_by=requested_by
        )
        transaction.on_commit(lambda: send(job))
    return job


def send(job: Job) -> None:
    """Put the primary key into the queue. Sending twice does no harm: only one claim wins."""
    from django_q.tasks import async_task

    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
    async_task(
        "drcenter.jobs.work.run_job", job.pk, cluster=kind(job.kind).cluster, task_name=f"job {job.pk}"
    )
