"""Turns planned times into runs. The planned time is the key: a tick that comes twice plans one run."""

import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from backups.models import Plan, Rebuild, Set
from backups.schedule import Cron, InvalidCron, due
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs.models import OPEN
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event

logger = logging.getLogger(__name__)

UNFINISHED = (Set.State.WAITING, Set.State.RUNNING)


def take_due() -> None:
    """A tick: ask for a run of every plan whose time has come. One bad plan does not stop the others."""
    now = timezone.now()
    plans = Plan.objects.filter(enabled=True).exclude(cron="").exclude(pk__in=Rebuild.objects.held_plans())
    for plan in plans.select_related("system"):
        try:
            _plan_run(plan, now)
        except (InvalidCron, KeyError, OperationFailed) as error:  # KeyError: an unknown zone
            logger.error("plan %s cannot be run: %s", plan, error)


def _plan_run(plan: Plan, now: datetime) -> None:
    # A new plan's first time is the first one after its birth.
    found = due(Cron(plan.cron, plan.time_zone), plan.last_planned_at or plan.created_at, now)
    if found is None or _still_runs(plan):
        return
    if found.missed:
        logger.info("plan %s makes up for %s missed times with one run", plan, found.missed + 1)
    with transaction.atomic():
        mine = Plan.objects.filter(pk=plan.pk, last_planned_at=plan.last_planned_at)
        if mine.update(last_planned_at=found.planned_at):
            _request(plan, found.planned_at)


def _still_runs(plan: Plan) -> bool:
    """The run before has not ended: times that pass meanwhile are made up for by one run after it."""
    return plan.sets.filter(state__in=UNFINISHED, job__state__in=OPEN).exists()


def _request(plan: Plan, planned_at: datetime) -> None:
    """Ask for the run. A plan that cannot run at all has had its time, and people hear of it."""
    try:
        with transaction.atomic():
            take.request(plan, reason=Set.Reason.SCHEDULE, requested_by="schedule", planned_at=planned_at)
    except OperationFailed as error:
        logger.error("plan %s cannot be run: %s", plan, error)
        tell(
            Event.FAILURE,
            format_lazy(_("{plan}: the backup could not be started"), plan=plan),
            retold(error.message, error.hint),
        )
