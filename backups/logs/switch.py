"""Switching a stream on and off, and what is looked at before."""

import math
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.engines.base import Finding
from backups.logs.archive import source_of, token_of
from backups.models import LogStream, Plan, Set, Source
from drcenter.audit.record import record
from drcenter.errors import OperationFailed

# Of the rhythms that are proposed: minutes.
RHYTHMS = (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720)


def preflight(source: Source, plan: Plan | None = None) -> list[Finding]:
    """What is in the way of archiving the source's log (`caps`), or makes less of it. Raises OperationFailed when
    the server is out of reach."""
    logs = source.build().logs(token_of(LogStream(source=source)))
    if logs is None:
        return [Finding(_("This kind of source has no log that can be archived."), caps=True)]
    found = logs.preflight()
    if any(one.caps for one in found):
        found.append(Finding(instead(source, plan)))
    return found


def instead(source: Source, plan: Plan | None = None) -> str:
    """The honest rhythm of dumps where the log cannot be archived, as a sentence."""
    sets = Set.objects.complete().filter(system=source.system_id, parts__source=source)
    newest = sets.exclude(started_at=None).exclude(finished_at=None).order_by("-started_at").first()
    if newest is None or newest.started_at is None or newest.finished_at is None:
        return _(
            "Without the log, dumps in a short rhythm are what is left. How short, the first set will tell: twice as long"
            " as it takes."
        )
    minutes = (newest.finished_at - newest.started_at).total_seconds() / 60
    rhythm = next((one for one in RHYTHMS if one >= 2 * minutes), RHYTHMS[-1])
    return _(
        "Without the log, dumps in a short rhythm are what is left: the last set took %(took)d min, so every %(rhythm)d min"
        " is the shortest that can be kept. Up to %(lost)d min of work can be lost then."
    ) % {"took": math.ceil(minutes), "rhythm": rhythm, "lost": math.ceil(rhythm + minutes)}


def switch_on(
    source: Source, plan: Plan, *, requested_by: str, interval: int = 5, promise: int = 10
) -> LogStream:
    """Archive the source's log to the plan's destinations. Raises OperationFailed with what has to be granted or set."""
    if not plan.chosen().filter(pk=source.pk).exists():
        raise OperationFailed(
            _("The plan %(plan)s does not take %(source)s: its sets are no base for the log.")
            % {"plan": plan, "source": source},
            _("Choose a plan that takes it, without a list of tables."),
            permanent=True,
        )
    for one in preflight(source, plan):
        if one.caps:
            raise OperationFailed(one.message, one.hint, permanent=True)
    with transaction.atomic():
        now = timezone.now()
        changes: dict[str, Any] = {
            "plan": plan, "enabled": True, "state": LogStream.State.WAITING, "changed_at": now,
            "message": "", "hint": "", "interval": interval, "promise": promise,
        }  # fmt: skip
        stream, _new = LogStream.objects.update_or_create(changes, source=source)
        record(requested_by, "backups.logs.switched_on", stream, plan=str(plan))
    return stream


def switch_off(stream: LogStream, *, requested_by: str) -> None:
    """What is stored stays. The archiver notices within seconds, and lets go of what the server keeps for it (a
    replication slot); where none runs, that happens here. Raises OperationFailed when it does not: the stream is off."""
    with transaction.atomic():
        LogStream.objects.filter(pk=stream.pk).update(
            enabled=False, state=LogStream.State.OFF, message="", hint="", told="", changed_at=timezone.now()
        )
        record(requested_by, "backups.logs.switched_off", stream)
    stream.refresh_from_db()
    if not stream.alive:
        source_of(stream).release()
