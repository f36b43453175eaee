"""What a replay of a source can start from, as the catalogue knows it: sets with a position, and the archived log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from backups.logs import read
from backups.logs.chain import Mark, Position, Segment
from backups.models import Copy, LogStream, Recovery, Set, Source
from backups.models.level import RANK
from backups.replay.plan import Base, Plan, Rates, Target, Way, choose, ways
from drcenter.errors import OperationFailed

# How many of the newest recoveries the rates are taken from.
LAST = 20
# The stream's row says when the server was asked; it had answered by then.
ANSWERED = timedelta(seconds=1)


@dataclass(frozen=True)
class Known:
    """All that is known of the ways back of one source: `sets` by the names of the bases; the stream, if it has one."""

    source: Source
    stream: LogStream | None
    bases: Sequence[Base]
    sets: dict[str, tuple[Set, Source]]
    segments: Sequence[Segment]
    marks: Sequence[Mark]
    rates: Rates

    def plan(self, target: Target) -> Plan:
        """Raises plan.Unreachable."""
        return choose(target, self.bases, self.segments, self.marks, self.rates)

    def ways(self) -> list[Way]:
        return ways(self.bases, self.segments, self.marks)

    def based_on(self, plan: Plan) -> tuple[Set, Source]:
        return self.sets[plan.base.name]


def of(source: Source) -> Known:
    """What is known now. Raises OperationFailed for a source whose server keeps no log."""
    server = source.build().server
    if not server:
        raise OperationFailed(
            _("%(source)s has no log that could be replayed.") % {"source": source},
            _("Its sets are the moments that can be restored."), permanent=True,
        )  # fmt: skip
    family = [source, *(one for one in source.system.sources.exclude(pk=source.pk) if _server(one) == server)]
    stream = LogStream.objects.filter(source__in=family).order_by("pk").first()
    found = [pair for one in family for pair in _bases(one, same=one == source)]
    return Known(
        source, stream, [base for base, _set, _source in found],
        {base.name: (one, its) for base, one, its in found},
        read.segments(stream) if stream else [],
        _loose_marks(stream), rates(),
    )  # fmt: skip


def _server(source: Source) -> str:
    try:
        return source.build().server
    except OperationFailed:
        return ""


def replayable(source: Source) -> bool:
    """Whether it has, or could have, a log to replay. A whole server is a base only: wanted is a database."""
    return bool(_server(source)) and not source.build().whole_server


def _bases(source: Source, *, same: bool) -> list[tuple[Base, Set, Source]]:
    """The sets of a source that a replay can start from. Those of another source of the same server hold all of it."""
    engine = source.build()
    if not same and not engine.whole_server:
        return []
    sets = source.system.sets.complete().filter(copies__state=Copy.State.COMPLETE, partial="", foreign=False)
    found = []
    for one in sets.exclude(reason__in=Set.ASIDE).distinct().prefetch_related("parts"):
        told = one.moments.get(source.name, {})
        positions = engine.log_positions(told.get("position") or {})
        if positions is None:
            continue
        begin, ready = positions
        size = sum(part.plain_size for part in one.parts.all() if part.source_name == source.name)
        taken = datetime.fromisoformat(told.get("taken") or told["to"])
        began = datetime.fromisoformat(told["from"])
        name, rank = f"{one.identifier}/{source.name}", RANK[one.level]
        base = Base(
            name,
            taken,
            begin,
            size,
            engine.whole_server,
            ready,
            began=began,
            rank=rank,
            dated=source.engine == "postgresql_physical",
        )
        found.append((base, one, source))
    return found


def _loose_marks(stream: LogStream | None) -> list[Mark]:
    """Where the log ended when the server was last asked: it may have been quiet since the last segment."""
    if stream is None or stream.server_at is None or not stream.server_log:
        return []
    at = stream.server_at
    return [Mark(at, Position(stream.server_log, stream.server_offset), at + ANSWERED)]


def rates() -> Rates:
    """As the newest replays here have measured them."""
    done = Recovery.objects.filter(state=Recovery.State.SUCCEEDED, place=Recovery.Place.SCRATCH).order_by(
        "-pk"
    )
    measured = [one.point.get("measured") or {} for one in done[:LAST]]
    plain, own = Rates(), {}
    for name, kind in (("base", "base"), ("physical", "physical"), ("log", "log")):
        known = [
            one for one in measured if one.get(f"{kind}_seconds", 0) > 0 and one.get(f"{kind}_bytes", 0) > 0
        ]
        if known:
            own[name] = sum(one[f"{kind}_bytes"] for one in known) / sum(
                one[f"{kind}_seconds"] for one in known
            )
    return replace(plain, **own, measured="base" in own or "physical" in own)


def newest_reachable(known: Known) -> datetime | None:
    """The last moment that can be brought back."""
    return max((way.settled for way in known.ways()), default=None)


def earliest_reachable(known: Known) -> datetime | None:
    return min((base.taken for base in known.bases), default=None)
