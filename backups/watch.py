"""Tells people once when a plan's newest good set has become too old, and once when it is good again.

The trail remembers what was told last: it needs no further state, and shows later who knew when.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from backups.models import Plan
from backups.schedule import overdue
from backups.status import moment_of, newest_good
from drcenter.audit.models import Entry
from drcenter.audit.record import record
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event

OVERDUE = "backups.overdue"
AGAIN_GOOD = "backups.good_again"


def watch_age() -> None:
    """A tick."""
    now = timezone.now()
    for plan in Plan.objects.filter(enabled=True):
        if _too_old(plan, now) != _told(plan):
            _tell(plan.pk, now)


def _too_old(plan: Plan, now: datetime) -> bool:
    good = newest_good(plan)
    return overdue(moment_of(good) if good else None, plan.target_age, now, plan.created_at)


def _told(plan: Plan) -> bool:
    """True if the last that was told of this plan is that it is overdue."""
    entries = Entry.objects.filter(object_type=Plan._meta.label, object_id=str(plan.pk))
    last = entries.filter(action__in=[OVERDUE, AGAIN_GOOD]).order_by("-pk").first()
    return last is not None and last.action == OVERDUE


def _tell(pk: int, now: datetime) -> None:
    with transaction.atomic():
        # Whoever comes second sees what the first one has told.
        plan = Plan.objects.select_for_update().select_related("system").get(pk=pk)
        too_old = _too_old(plan, now)
        if too_old == _told(plan):
            return
        good = newest_good(plan)
        newest = str(good) if good else None
        if too_old:
            record("system", OVERDUE, plan, newest_good=newest, target_age_hours=plan.target_age_hours)
            tell(
                Event.FAILURE,
                format_lazy(_("{plan}: the backup is overdue"), plan=plan),
                _overdue_text(plan, newest),
            )
        else:
            record("system", AGAIN_GOOD, plan, newest_good=newest)
            tell(Event.RECOVERED, format_lazy(_("{plan}: the backups are good again"), plan=plan))


def _overdue_text(plan: Plan, newest: str | None) -> str | Promise:
    if newest is None:
        text = _("There is no good set at all, {hours} hours after the plan was made.")
    else:
        text = _("The newest good set, {set}, is older than {hours} hours.")
    return format_lazy(text, set=newest, hours=plan.target_age_hours)
