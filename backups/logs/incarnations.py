"""Where a connection goes on: at the end of the archive, or with a new life of the server's log."""

import secrets
from dataclasses import dataclass
from datetime import UTC

from django.db import transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from backups.engines._log_source import Broken, LogSource
from backups.logs.chain import Position
from backups.logs.spool import Spool
from backups.models import LogIncarnation, LogSegment, LogStream, Set
from drcenter.audit.record import record
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact

GAP = "backups.logs.gap"


@dataclass(frozen=True)
class Beginning:
    """The incarnation that goes on, the log file to receive from, and the last segment that is stored of it."""

    incarnation: LogIncarnation
    log: str
    last: LogSegment | None


def begin(stream: LogStream, source: LogSource) -> Beginning:
    """Ask the server. Where it does not go on from the archive's end, a new incarnation is begun, loudly."""
    newest = stream.incarnations.order_by("-pk").first()
    if newest is None:
        return _first(stream, source)
    last = newest.segments.select_related("incarnation").order_by("-last").first()
    if last is None:
        return Beginning(newest, source.first(None, oldest=bool(newest.reason)), None)
    try:
        if not newest.name.startswith(f"{source.identity()}-"):
            raise Broken("Another server answers: after a failover its log is another one.")
        return Beginning(newest, source.resume(last.segment), last)
    except Broken as error:
        anew = break_off(stream, source, error.message)
        return Beginning(anew, source.first(None, oldest=True), None)


def _first(stream: LogStream, source: LogSource) -> Beginning:
    base = position_of_base(stream)
    log = source.first(base, oldest=False)
    with transaction.atomic():
        anew = LogIncarnation.objects.create(stream=stream, name=_name(source), reason="")
        record("system", "backups.logs.begun", stream, incarnation=anew.name, log=log)
        if base is None or base.log != log:
            _want_base(stream)
    return Beginning(anew, log, None)


def position_of_base(stream: LogStream) -> Position | None:
    """Where in the log the newest complete set of the plan is; None where it does not know."""
    sets = Set.objects.complete().ours().filter(plan=stream.plan, apart=False).order_by("-moment")
    newest = sets.first()
    found = (newest.moments.get(stream.source.name) or {}).get("position") if newest else None
    try:
        return Position(str(found["file"]), int(found["position"])) if found else None
    except (KeyError, ValueError, TypeError):
        return None


def break_off(stream: LogStream, source: LogSource, reason: str) -> LogIncarnation:
    """Begin a new incarnation, tell people of the gap at once, and ask for a new base."""
    last = stream.newest()
    where = f"{last.log}:{last.end}" if last else ""
    with transaction.atomic():
        anew = LogIncarnation.objects.create(stream=stream, name=_name(source), reason=redact(reason))
        record("system", GAP, stream, incarnation=anew.name, reason=reason, stored_to=where)
        _want_base(stream)
        tell(
            Event.FAILURE,
            format_lazy(_("{stream}: a gap in the archived log"), stream=stream),
            format_lazy(
                _(
                    "{reason} The archive goes to {position}; the server's log is archived anew from now on. What lies"
                    " between cannot be replayed, and later moments need a new set, which is asked for."
                ),
                reason=retold(redact(reason)),
                position=where,
            ),
        )
    return anew


def _want_base(stream: LogStream) -> None:
    LogStream.objects.filter(pk=stream.pk).update(base_wanted_at=timezone.now())


def _name(source: LogSource) -> str:
    """Which server, since when, and something that no other incarnation has."""
    now = timezone.now().astimezone(UTC)
    return f"{source.identity()}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def reconcile(pk: int, spool: Spool) -> None:
    """After a crash: what waits without a row is forgotten, and rows of what is nowhere any more go, with all that
    follow them. Both are fetched again."""
    spool.clean()
    stream = LogStream.objects.get(pk=pk)
    here = set(spool.numbers())
    stored = max(stream.places.values_list("through", flat=True), default=0)
    waiting = list(stream.segments.filter(last__gt=stored).order_by("last").values_list("last", flat=True))
    lost = next((number for number in waiting if number not in here), None)
    if lost is not None:
        stream.segments.filter(last__gte=lost).delete()
    known = set(stream.segments.filter(last__in=here).values_list("last", flat=True))
    for number in here - known:
        spool.forget(number)
