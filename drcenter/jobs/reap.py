"""Turns jobs whose worker died into *lost*, and lets their kind clean up after them."""

import logging

from django.db import transaction
from django.utils import timezone

from drcenter.jobs.models import Job, State
from drcenter.jobs.registry import kind

logger = logging.getLogger(__name__)


def reap() -> None:
    """Safe to run twice at once: one conditional update for each row decides who cleans up."""
    now = timezone.now()
    for job in Job.objects.stale(now):
        with transaction.atomic():
            won = Job.objects.stale(now).filter(pk=job.pk, attempt=job.attempt).update(
                state=State.LOST, finished_at=now,
                message="The worker gave no sign of life any more; it was killed, or its machine went down.",
                hint="Look at the machine's log around the last sign of life; memory running out is the usual cause.",
            )  # fmt: skip
        if won:
            logger.warning("job %s (%s) is lost", job.pk, job.title)
            _clean_up(job)


def _clean_up(job: Job) -> None:
    if ended := kind(job.kind).ended:
        ended(Job.objects.get(pk=job.pk))


def cancel(job: Job, actor: str) -> bool:
    """Ask a job to stop. True if it will: a queued one ends at once, a running one within seconds."""
    now = timezone.now()
    with transaction.atomic():
        if Job.objects.filter(pk=job.pk, state=State.QUEUED).update(
            state=State.CANCELLED,
            finished_at=now,
            cancel_requested_by=actor,
            message="Stopped before it began.",
        ):
            _clean_up(job)
            return True
        running = Job.objects.filter(pk=job.pk, state=State.RUNNING, cancel_requested_by="")
        return bool(running.update(cancel_requested_by=actor))
