"""Sends queued jobs again that no worker took: the queue forgot them, or their target was busy."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from drcenter.jobs.enqueue import send
from drcenter.jobs.models import Job, State

AGAIN_AFTER = timedelta(seconds=30)


def send_waiting_again() -> None:
    """Only jobs whose target is free: sending the others would fill the queue for nothing."""
    now = timezone.now()
    busy = Job.objects.filter(state=State.RUNNING).values("target")
    late = Q(sent_at__isnull=True) | Q(sent_at__lt=now - AGAIN_AFTER) | Q(sent_at__gt=now + AGAIN_AFTER)
    waiting = Job.objects.filter(late, state=State.QUEUED).exclude(target__in=busy)
    for job in waiting.filter(created_at__lt=now - timedelta(seconds=5)).order_by("id")[:50]:
        send(job)
