"""Traces the sets of every destination once a day, and tells people once when something there was put back, taken out or
made anew. The trail remembers what was told last.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import Copy, Destination
from backups.storage.trace import trace
from drcenter.audit.models import Entry
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact
from drcenter.stored import in_english
from drcenter.systems.models import System

KIND = "backups.trace"
BROKEN, WHOLE = "backups.succession.broken", "backups.succession.whole"
EVERY = timedelta(days=1)
# Of each system: three small objects each. `manage.py backup succession` reads all.
NEWEST = 300
SHOWN = 20


def traces_due() -> None:
    """A tick: ask for a look at each destination that has sets, and was not looked at for a day."""
    now = timezone.now()
    for destination in Destination.objects.filter(enabled=True, copies__state=Copy.State.COMPLETE).distinct():
        with transaction.atomic():
            Destination.objects.select_for_update().get(pk=destination.pk)
            if not Job.objects.filter(kind=KIND, subject=destination.pk, created_at__gt=now - EVERY).exists():
                with in_english():
                    title = _("Trace the sets at %(destination)s") % {"destination": destination}
                enqueue(KIND, destination.pk, target=f"trace:{destination.pk}", title=title)


def trace_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed when something was put back, taken out or made anew."""
    destination = Destination.objects.get(pk=pk)
    alarming: list[str] = []
    with in_english():
        for system in System.objects.filter(sets__copies__destination=destination).distinct():
            context.check()
            context.phase(_("tracing the sets"), system.slug)
            alarming += trace(system, destination, NEWEST).alarming
    alarming = [redact(text) for text in sorted(alarming)]
    _conclude(destination, alarming)
    if alarming:
        raise OperationFailed(alarming[0], _("manage.py backup succession lists all of it."), permanent=True)


def _conclude(destination: Destination, alarming: Sequence[str]) -> None:
    told = last_told(destination)
    if (told.facts["alarming"] if told else []) == list(alarming[:SHOWN]):
        return
    with transaction.atomic():
        record(
            "system",
            BROKEN if alarming else WHOLE,
            destination,
            alarming=list(alarming[:SHOWN]),
            count=len(alarming),
        )
        if alarming:
            title = format_lazy(
                gettext_lazy("{destination}: sets were put back, taken out or made anew"),
                destination=destination.name,
            )
            tell(Event.FAILURE, title, retold(*alarming[:SHOWN], between="\n"))
        else:
            title = format_lazy(
                gettext_lazy("{destination}: the sets are again as the catalogue knows them"),
                destination=destination.name,
            )
            tell(Event.RECOVERED, title, "")


def last_told(destination: Destination) -> Entry | None:
    """What the trail has last of the destination's succession; None: never anything was wrong."""
    entries = Entry.objects.filter(object_type=Destination._meta.label, object_id=str(destination.pk))
    return entries.filter(action__in=[BROKEN, WHOLE]).order_by("-pk").first()
