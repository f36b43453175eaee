"""Waits for a set that workers take, through the repeat of a run whose worker was lost."""

import time
from typing import TextIO

from django.utils.translation import gettext as _

from backups.models import Copy, Set
from backups.models.level import at_least
from drcenter.errors import OperationFailed
from drcenter.jobs.follow import POLL_SECONDS, follow
from drcenter.jobs.models import Job, State

# Seconds until whoever found the worker dead has decided whether the run is repeated.
DECIDED_WITHIN = 60.0


def wait_for(wanted: Set, out: TextIO) -> Job:
    """Show the job of the set, and the one that repeats it; the last of them as it ended."""
    job = wanted.job
    if job is None:
        raise OperationFailed(_("Its job is gone."))
    ended = follow(job, out)
    while (repeat := _repeat_of(wanted, ended)) is not None:
        out.write(f"  {_('Its worker was lost; the plan has the set taken once more.')}\n")
        ended = follow(repeat, out)
    return ended


def _repeat_of(wanted: Set, ended: Job) -> Job | None:
    """The job that takes the set after this one was lost; None if there is to be none."""
    if ended.state != State.LOST:
        return None
    until = time.monotonic() + DECIDED_WITHIN
    while True:
        decided = Job.objects.filter(pk=ended.pk, settled=True).exists()
        now = Set.objects.select_related("job").get(pk=wanted.pk)
        if now.job_id != ended.pk:
            return now.job
        if decided or time.monotonic() > until:
            return None
        time.sleep(POLL_SECONDS)


def shortfall(taken: Set, job: Job) -> str:
    """Why a complete set is less than its plan asks for; "" if it is not."""
    if job.state != State.SUCCEEDED:
        return job.message or job.get_state_display()
    if taken.plan is None or taken.capped or not at_least(taken.level, taken.plan.level):
        return taken.level_reason or _("It is less than the plan asks for.")
    failed = taken.copies.exclude(state=Copy.State.COMPLETE).select_related("destination")
    return "; ".join(f"{copy.destination}: {copy.message or copy.get_state_display()}" for copy in failed)
