"""Turns jobs whose worker died into *lost*, and stops jobs on request."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from drcenter.jobs.models import STALE_AFTER, Job, Pulse, State
from drcenter.jobs.pulse import TICKS
from drcenter.jobs.settle import settle
from drcenter.stored import in_english

logger = logging.getLogger(__name__)

# A look that comes later than this after the one before it, or whose write took longer, saw too little to judge.
BLIND_AFTER = 45.0
SLOW_WRITE = 5.0


@dataclass(frozen=True)
class _Seen:
    heartbeat: datetime | None
    since: float


class Reaper:
    """Judges by what it has seen itself: a heartbeat that did not change for STALE_AFTER on its own clock.

    Comparing heartbeats with the time of day would lose good jobs when the clock is set forward, keep dead
    ones for ever when it is set back, and lose everything that runs when the panel's database was away for
    longer than STALE_AFTER: the reaper would be back before the heartbeats.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._looked: float | None = None

    def __call__(self) -> None:
        """Safe to run twice at once: one conditional update for each row decides who settles it."""
        began = self.clock()
        _probe()
        now = self.clock()
        if self._looked is None or now - self._looked > BLIND_AFTER or now - began > SLOW_WRITE:
            self._seen.clear()
        self._looked = now
        running = {(job.pk, job.attempt): job for job in Job.objects.filter(state=State.RUNNING)}
        self._seen = {key: self._observed(key, job, now) for key, job in running.items()}
        for key, seen in self._seen.items():
            if now - seen.since >= STALE_AFTER.total_seconds():
                lose(running[key])

    def _observed(self, key: tuple[int, int], job: Job, now: float) -> _Seen:
        before = self._seen.get(key)
        return before if before and before.heartbeat == job.heartbeat_at else _Seen(job.heartbeat_at, now)


reap = Reaper()


def _probe() -> None:
    """A write like a heartbeat's: raises, or takes long, when heartbeats cannot be written either.

    It is the sign of life of the ticks as well.
    """
    Pulse.objects.update_or_create(cluster=TICKS, defaults={"seen_at": timezone.now()})


@in_english()
def lose(job: Job) -> bool:
    """Mark a running job as lost unless its heart beats again; True if it was this call that did it."""
    won = Job.objects.filter(
        pk=job.pk, state=State.RUNNING, attempt=job.attempt, heartbeat_at=job.heartbeat_at
    ).update(
        state=State.LOST, finished_at=timezone.now(),
        message=_("The worker gave no sign of life any more; it was killed, or its machine went down."),
        hint=_("Look at the machine's log around the last sign of life; memory running out is the usual cause."),
    )  # fmt: skip
    if won:
        logger.warning("job %s (%s) is lost", job.pk, job.title)
        settle(job.pk)
    return bool(won)


@in_english()
def cancel(job: Job, actor: str) -> bool:
    """Ask a job to stop. True if it will: a queued one ends at once, a running one within seconds."""
    actor = actor[:150] or "system"
    with transaction.atomic():
        if Job.objects.filter(pk=job.pk, state=State.QUEUED).update(
            state=State.CANCELLED,
            finished_at=timezone.now(),
            cancel_requested_by=actor,
            message=_("Stopped before it began."),
        ):
            settle(job.pk)
            return True
        running = Job.objects.filter(pk=job.pk, state=State.RUNNING, cancel_requested_by="")
        return bool(running.update(cancel_requested_by=actor))
