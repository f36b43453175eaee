"""What follows the end of a job: its kind brings the rows of its subject in line and cleans up."""

import logging
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from drcenter.jobs.models import OPEN, Job
from drcenter.jobs.registry import kind
from drcenter.stored import in_english

logger = logging.getLogger(__name__)

# How long after its end a job that is not settled is taken for one whose process died in between.
FORGOTTEN_AFTER = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(days=1)


def settle(pk: int) -> None:
    """Call the kind's `ended` once, and remember that it was called. A failure is tried again by `settle_rest`."""
    try:
        job = Job.objects.get(pk=pk)
        if ended := kind(job.kind).ended:
            with in_english():
                ended(job)
        Job.objects.filter(pk=pk).update(settled=True)
    except DatabaseError as error:
        logger.error("job %s is not settled yet: %s", pk, error)
    except Exception:
        logger.exception("job %s is not settled yet", pk)


def settle_rest() -> None:
    """A tick: ended jobs whose process died, or whose clean-up failed, before they were settled."""
    now = timezone.now()
    ended = Job.objects.exclude(state__in=OPEN).filter(settled=False, finished_at__gt=now - GIVE_UP_AFTER)
    for job in ended.exclude(finished_at__range=(now - FORGOTTEN_AFTER, now))[:20]:
        settle(job.pk)
