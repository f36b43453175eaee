"""Sends queued jobs again that no worker took: the queue forgot them, or their target was busy."""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from drcenter.jobs.enqueue import message_name, send
from drcenter.jobs.models import Job, State

AGAIN_AFTER = timedelta(seconds=30)


def send_waiting_again() -> None:
    """Only jobs whose target is free and whose message does not wait in its queue any more.

    Without the second condition every waiting job would add a message each time while long jobs run.
    """
    now = timezone.now()
    busy = Job.objects.filter(state=State.RUNNING).values("target")
    late = Q(sent_at__isnull=True) | Q(sent_at__lt=now - AGAIN_AFTER) | Q(sent_at__gt=now + AGAIN_AFTER)
    carried = _carried(now)
    for job in Job.objects.filter(late, state=State.QUEUED).exclude(target__in=busy).order_by("id")[:200]:
        if message_name(job.pk) not in carried:
            send(job)


def _carried(now: datetime) -> set[str]:
    """The names of the messages that a worker could take now.

    A locked message is in the hands of a cluster, which may be dead: it does not count.
    """
    from django_q.models import OrmQ

    return {str(message.name()) for message in OrmQ.objects.filter(lock__lte=now)}
