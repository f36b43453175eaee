"""Tells people once when a stream does not keep its promise, and once when it does again; asks for the bases it needs.

It looks at the rows from outside: an archiver that died tells nothing. What is seen for the first time may pass (a
server that starts again): it is told when the next look sees it, too.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from backups.logs.archive import token_of
from backups.models import LogStream, Set
from backups.takes import take
from drcenter.audit.record import record
from drcenter.deadline import within
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event

FAULT, GOOD, LET_GO = "backups.logs.fault", "backups.logs.good_again", "backups.logs.let_go"
STOPPED, BROKEN, BEHIND = "stopped", "broken", "behind"
# A stream that was just switched on has until then to begin.
BEGINNING = timedelta(minutes=1)
# After a base that failed the next one is asked for.
AGAIN = timedelta(hours=1)
FIRST_SIGHT = "?"


def watch_streams() -> None:
    """A tick."""
    for pk in LogStream.objects.values_list("pk", flat=True):
        with transaction.atomic():
            _look(LogStream.objects.select_for_update().get(pk=pk))
    for stream in LogStream.objects.filter(enabled=True).exclude(base_wanted_at=None).select_related("plan"):
        ask_for_base(stream)
    for stream in LogStream.objects.filter(enabled=True).select_related("source"):
        if fault(stream) in {STOPPED, BROKEN}:
            let_go(stream)


def fault(stream: LogStream) -> str:
    """What is wrong with it now; "" for nothing, or when it is switched off."""
    if not stream.enabled:
        return ""
    if not stream.alive:
        return STOPPED if timezone.now() - stream.changed_at > BEGINNING else ""
    if stream.state == LogStream.State.BROKEN:
        return BROKEN
    lag = stream.lag_seconds
    if lag is None:
        return BEHIND if timezone.now() - stream.changed_at > BEGINNING else ""
    return BEHIND if lag > stream.promise else ""


def _look(stream: LogStream) -> None:
    found, told = fault(stream), stream.told
    if found == told:
        return
    if found and told != found + FIRST_SIGHT:
        # One that is already told of stays told until it has passed.
        now = found + FIRST_SIGHT if not told or told.endswith(FIRST_SIGHT) else told
        LogStream.objects.filter(pk=stream.pk).update(told=now)
        return
    LogStream.objects.filter(pk=stream.pk).update(told=found)
    if found:
        record("system", FAULT, stream, fault=found, stored_until=stream.stored_until)
        tell(Event.FAILURE, format_lazy(TITLES[found], stream=stream), _text(stream, found))
    elif not told.endswith(FIRST_SIGHT) and stream.enabled:
        record("system", GOOD, stream)
        tell(Event.RECOVERED, format_lazy(_("{stream}: the log is archived in time again"), stream=stream))


TITLES = {
    STOPPED: _("{stream}: nobody archives the log"),
    BROKEN: _("{stream}: the log cannot be archived"),
    BEHIND: _("{stream}: the archive of the log is behind"),
}


def _text(stream: LogStream, found: str) -> str | Promise:
    until = stream.stored_until.strftime("%Y-%m-%d %H:%M:%S UTC") if stream.stored_until else "—"
    safe = format_lazy(_("What was committed after {until} is on the server alone."), until=until)
    if found == STOPPED:
        return format_lazy("{safe} {do}", safe=safe, do=_("Look whether manage.py run is running."))
    if stream.message:
        return format_lazy("{why} {safe}", why=retold(stream.message, stream.hint), safe=safe)
    faults = [place.fault for place in stream.places.exclude(fault="")]
    return format_lazy("{safe} {why}", safe=safe, why=retold(*faults))


def let_go(stream: LogStream) -> None:
    """A server whose COMMITs wait for an archive that stands still goes on without it, if its source says so: loudly."""
    still = stream.lag_seconds
    if still is None:
        return
    try:
        source = stream.source.build().logs(token_of(stream))
        done = within(lambda: source.let_go(still)) if source is not None else ""
    except OperationFailed as error:
        LogStream.objects.filter(pk=stream.pk).update(message=error.message, hint=error.hint)
        return
    if done:
        with transaction.atomic():
            record("system", LET_GO, stream, seconds=round(still))
            tell(
                Event.ALARM,
                format_lazy(_("{stream}: COMMIT waits for the archive no longer"), stream=stream),
                done,
            )


# ---------------------------------------------------------------------------- bases


def ask_for_base(stream: LogStream, now: datetime | None = None) -> None:
    """A set that was begun after the log was archived anew; asked for once, and again an hour after one that failed."""
    wanted, now = stream.base_wanted_at, now or timezone.now()
    if wanted is None:
        return
    sets = stream.plan.sets.filter(apart=False).exclude(reason=Set.Reason.SAFETY)
    if sets.complete().filter(started_at__gt=wanted).exists():
        LogStream.objects.filter(pk=stream.pk, base_wanted_at=wanted).update(base_wanted_at=None)
        return
    if sets.filter(state__in=(Set.State.WAITING, Set.State.RUNNING)).exists():
        return
    if sets.filter(created_at__gt=max(wanted, now - AGAIN)).exists():
        return
    try:
        take.request(stream.plan, requested_by="system")
    except OperationFailed as error:
        LogStream.objects.filter(pk=stream.pk, message="").update(message=error.message, hint=error.hint)
