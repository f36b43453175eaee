"""Holds the drills that are due, and tells people when none was good for too long.

The planned time is the key: a tick that comes twice asks for one drill. What cannot begin (no set, no identity, a
drill that is still under way) is skipped, which is written down and told: a drill that nobody holds is the one that
would have shown it.
"""

import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drills import drill
from backups.models import Copy, Drill, DrillSchedule, Set
from backups.schedule import Cron, InvalidCron, due, overdue
from drcenter.audit.models import Entry
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event

logger = logging.getLogger(__name__)

OVERDUE, AGAIN_GOOD = "backups.drill.overdue", "backups.drill.good_again"


def hold_due() -> None:
    """A tick. One bad schedule does not stop the others."""
    now = timezone.now()
    for schedule in DrillSchedule.objects.filter(enabled=True).select_related("system", "plan"):
        try:
            _hold(schedule, now)
        except (InvalidCron, KeyError) as error:  # KeyError: an unknown zone
            logger.error("drill schedule %s cannot be read: %s", schedule, error)


def _hold(schedule: DrillSchedule, now: datetime) -> None:
    found = due(Cron(schedule.cron, schedule.time_zone), schedule.last_planned_at or schedule.created_at, now)
    if found is None:
        return
    with transaction.atomic():
        mine = DrillSchedule.objects.filter(pk=schedule.pk, last_planned_at=schedule.last_planned_at)
        if not mine.update(last_planned_at=found.planned_at):
            return
        try:
            with transaction.atomic():
                drill.request(
                    copy_of(schedule), requested_by="schedule", schedule=schedule, planned_at=found.planned_at
                )
        except OperationFailed as error:
            drill.skip(schedule, found.planned_at, error)


def copy_of(schedule: DrillSchedule) -> Copy:
    """What is rehearsed: the best copy of the newest set. Raises OperationFailed when there is none."""
    newest: Set | None = (
        schedule.plan.newest_good() if schedule.plan else schedule.system.sets.newest_usable()
    )
    copy = newest.best_copy() if newest is not None else None
    if copy is None:
        raise OperationFailed(
            _("There is no set to hold a drill with."),
            _("Back up first: manage.py backup run %(system)s --wait") % {"system": schedule.system.slug},
        )
    return copy


def newest_good(schedule: DrillSchedule) -> datetime | None:
    """When the last good drill began that counts for a schedule: of its plan, if it has one."""
    good = Drill.objects.passed().filter(system=schedule.system, started_at__isnull=False)
    if schedule.plan is not None:
        good = good.filter(set__plan=schedule.plan)
    return good.order_by("-started_at").values_list("started_at", flat=True).first()


def is_overdue(schedule: DrillSchedule, now: datetime) -> bool:
    return schedule.enabled and overdue(
        newest_good(schedule), schedule.target_age, now, schedule.created_at
    )  # fmt: skip


def watch_age() -> None:
    """A tick: tell people once when the last good drill has become too old, and once when there is a good one again."""
    now = timezone.now()
    for schedule in DrillSchedule.objects.filter(enabled=True):
        if is_overdue(schedule, now) != _told(schedule):
            _tell(schedule.pk, now)


def _told(schedule: DrillSchedule) -> bool:
    """True if the last that was told of this schedule is that it is overdue: the trail remembers."""
    entries = Entry.objects.filter(object_type=DrillSchedule._meta.label, object_id=str(schedule.pk))
    last = entries.filter(action__in=[OVERDUE, AGAIN_GOOD]).order_by("-pk").first()
    return last is not None and last.action == OVERDUE


def _tell(pk: int, now: datetime) -> None:
    with transaction.atomic():
        # Whoever comes second sees what the first one has told.
        schedule = DrillSchedule.objects.select_for_update().select_related("system").get(pk=pk)
        late = is_overdue(schedule, now)
        if late == _told(schedule):
            return
        record("system", OVERDUE if late else AGAIN_GOOD, schedule, target_age_days=schedule.target_age_days)
        if late:
            title = format_lazy(gettext_lazy("{system}: the drill is overdue"), system=schedule.system.name)
            text = gettext_lazy("No drill was good for {days} days.")
            tell(Event.FAILURE, title, format_lazy(text, days=schedule.target_age_days))
        else:
            title = format_lazy(
                gettext_lazy("{system}: the drills are good again"), system=schedule.system.name
            )
            tell(Event.RECOVERED, title)
