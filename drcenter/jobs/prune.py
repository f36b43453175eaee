"""Lets go of old jobs with their logs, and of what the queue keeps of its own."""

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from drcenter.jobs.models import OPEN, Job

# Seconds between two looks, and rows in one go: a long delete would hold the heartbeats up.
EVERY = 3600.0
AT_ONCE = 200
# The queue's own records say nothing that the jobs do not say.
QUEUE_DAYS = 7


class Pruner:
    """A tick; looks once an hour, and at every tick while there is more to let go of."""

    next_look = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self.next_look:
            return
        now = timezone.now()
        jobs = prune_jobs(now - timedelta(days=settings.JOB_DAYS))
        if not jobs + prune_queue(now - timedelta(days=QUEUE_DAYS)):
            self.next_look = time.monotonic() + EVERY


prune = Pruner()


def prune_jobs(before: datetime) -> int:
    """Delete ended jobs that are older; how many it was this time."""
    old = Job.objects.filter(finished_at__lt=before).exclude(state__in=OPEN)
    rows = list(old.order_by("id").values_list("pk", flat=True)[:AT_ONCE])
    Job.objects.filter(pk__in=rows).delete()
    return len(rows)


def prune_queue(before: datetime) -> int:
    from django_q.models import Task

    rows = list(Task.objects.filter(stopped__lt=before).values_list("pk", flat=True)[:AT_ONCE])
    Task.objects.filter(pk__in=rows).delete()
    return len(rows)
