"""Opens the checklist of a recovery, measures, and takes what people say."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.checklist.points import BY_KEY, POINTS, title
from backups.checklist.probes import PROBES, Reading
from backups.models import CheckPoint, Recovery
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.checklist"
# For how long after its end a recovery still gets a checklist: those of before an upgrade get none.
RECENT = timedelta(days=2)


def open_due() -> None:
    """At every tick: each restore over production that went well has its checklist. Twice at once does no harm."""
    recent = Recovery.objects.filter(
        state=Recovery.State.SUCCEEDED, mode=Recovery.Mode.REAL, place=Recovery.Place.PRODUCTION,
        finished_at__gte=timezone.now() - RECENT, points__isnull=True,
    )  # fmt: skip
    for recovery in recent:
        begin(recovery)


def begin(recovery: Recovery) -> None:
    """Write down every point, and have measured what can be."""
    with transaction.atomic():
        rows = [
            CheckPoint(recovery=recovery, key=one.key, order=order) for order, one in enumerate(POINTS, 1)
        ]
        CheckPoint.objects.bulk_create(rows, ignore_conflicts=True)
        request(recovery, requested_by="system")


def request(recovery: Recovery, *, requested_by: str) -> Job:
    """Have the points measured (again). What a person has said stays as it is."""
    with in_english():
        name = _("Measure after a restore of %(set)s") % {"set": recovery.copy.set}
    return enqueue(
        KIND, recovery.pk, target=f"checklist:{recovery.pk}", title=name, requested_by=requested_by
    )


def measure_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: repeating it does no harm."""
    recovery = Recovery.objects.select_related("copy__set__system").get(pk=pk)
    bad = []
    for point in recovery.points.filter(by=""):
        if point.key not in PROBES:
            continue
        with in_english():
            context.phase(_("measure"), BY_KEY[point.key].title)
            reading = _reading(point.key, recovery)
        _write(point, reading)
        context.log(
            f"{BY_KEY[point.key].title}: {reading.text}", "error" if reading.good is False else "info"
        )
        if reading.good is False:
            bad.append(title(point.key))
    with transaction.atomic():
        record("system", "backups.checklist.measured", recovery, bad=bad)


def _reading(key: str, recovery: Recovery) -> Reading:
    """What the probe says; one that breaks leaves the point to a person, with the reason."""
    try:
        return PROBES[key](recovery)
    except (OperationFailed, OSError, ValueError) as error:
        return Reading(None, str(error) or type(error).__name__)


def _write(point: CheckPoint, reading: Reading) -> None:
    states = {True: CheckPoint.State.GOOD, False: CheckPoint.State.BAD, None: CheckPoint.State.OPEN}
    # Somebody may have ticked it meanwhile.
    CheckPoint.objects.filter(pk=point.pk, by="").update(
        state=states[reading.good], measured=redact(reading.text), at=timezone.now()
    )


def tick(recovery: Recovery, key: str, state: str, *, by: str, note: str = "") -> CheckPoint:
    """What a person found. *Open* gives the point back to the product. Raises OperationFailed for a point, or a
    state, that there is none of."""
    point = recovery.points.filter(key=key).first()
    if point is None or state not in CheckPoint.State.values:
        known = ", ".join(recovery.points.values_list("key", flat=True)) or _("none yet")
        raise OperationFailed(
            _("There is no such point. There are: %(known)s") % {"known": known}, permanent=True
        )
    with transaction.atomic():
        point.state, point.at = state, timezone.now()
        point.by = "" if state == CheckPoint.State.OPEN else by
        point.measured = redact(note.strip()) or point.measured
        point.save()
        record(by, "backups.checklist.ticked", recovery, point=key, state=state, note=note)
    return point
