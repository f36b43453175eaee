"""Which set and which logs bring a moment back (pure).

Where the server's log ended at which time is known by marks (backups/logs/chain.py), not by the times in its events:
those say when a statement began, and one that began before a moment may have been committed after it. So a moment
becomes a position: that of the last mark that is surely not after it. What was committed between that mark and the
moment is not replayed; the plan says how far apart they are. PostgreSQL writes the time of each commit itself, and
is stopped by that; the marks only say which logs it needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backups.logs import chain
from backups.logs.chain import Gap, Mark, Position, Reach, Segment


@dataclass(frozen=True)
class Base:
    """A set that a replay can start from: `position` is where its data stand in the log, `taken` when that was at the
    latest, `began` at the earliest.

    `name` tells it from others, `size` is in plain bytes. `ready`: how far a physical base has to be replayed before
    it is consistent (None: it is). `incarnation`: "" where the set does not say it.
    """

    name: str
    taken: datetime
    position: Position
    size: int
    physical: bool = False
    ready: Position | None = None
    incarnation: str = ""
    began: datetime | None = None
    # Its server writes the time of each commit into its log, and is stopped by that.
    dated: bool = False
    # The better of two that cost the same: how well its copies are known.
    rank: int = 0


@dataclass(frozen=True)
class Target:
    """What is wanted: a moment, or a place in the log up to which (not further) is replayed."""

    moment: datetime | None = None
    position: Position | None = None
    incarnation: str = ""


@dataclass(frozen=True)
class Rates:
    """Plain bytes in a second, as measured; `measured` False: nothing was measured here yet, and these are of
    docs/benchmarks.md."""

    base: float = 12e6
    physical: float = 75e6
    log: float = 12e6
    measured: bool = False

    def seconds(self, base: Base, log_bytes: int) -> float:
        return base.size / (self.physical if base.physical else self.base) + log_bytes / self.log


@dataclass(frozen=True)
class Plan:
    """`base`, and the `segments` from it to `stop`. Everything committed before `surely` is in it, nothing that was
    committed at `atmost` or later. `through`: where the log is known to be past the moment (None: its end)."""

    target: Target
    base: Base
    segments: tuple[Segment, ...]
    stop: Position
    surely: datetime | None
    atmost: datetime | None
    through: Position | None
    log_bytes: int
    seconds: float
    measured: bool

    @property
    def by_commit_times(self) -> bool:
        return self.base.dated

    @property
    def encrypted(self) -> bool:
        """Whether the log needs an identity."""
        return any(one.key.endswith(".age") for one in self.segments)

    @property
    def uncertain(self) -> timedelta | None:
        if self.surely is None or self.atmost is None:
            return None
        return self.atmost - self.surely


class Why(StrEnum):
    """Why a target cannot be reached."""

    NO_BASE = "no base"  # No set has a place in the log.
    BEFORE = "before"  # It lies before the first set that can be a base.
    GAP = "gap"  # A stretch of the log is missing on the way.
    LATER = "later"  # The archive does not go so far yet.
    UNKNOWN = "unknown"  # The position is in no segment.


class Unreachable(Exception):
    """The target cannot be reached. `offer`: the last moment before it that can be; `gap`: what is in the way;
    `earliest`: the first moment of all; `next_base`: when the first set after the gap was taken."""

    def __init__(
        self, why: Why, *, offer: datetime | None = None, gap: Gap | None = None,
        earliest: datetime | None = None, next_base: datetime | None = None,
    ) -> None:  # fmt: skip
        super().__init__(why.value)
        self.why, self.offer, self.gap = why, offer, gap
        self.earliest, self.next_base = earliest, next_base


@dataclass(frozen=True)
class Way:
    """How far one gets from a base, with the marks on the way, oldest first."""

    base: Base
    reach: Reach
    marks: tuple[Mark, ...]
    # The segments of the base's log file before those: a log file is read from its beginning.
    leading: tuple[Segment, ...] = ()

    @property
    def settled(self) -> datetime:
        """The last moment that can be reached from here: when the last place on the way was known to be the log's end.

        Where commit times decide, not while the server was asked: what was committed meanwhile may be behind that place.
        """
        known = ((mark.at if self.base.dated else mark.until) for mark in self.marks)
        return max(known, default=self.base.taken)

    def place(self, position: Position) -> tuple[int, int] | None:
        """A key that orders positions on this way; None for one that is not on it."""
        for number, segment in enumerate(self.reach.segments):
            if segment.log == position.log:
                return number, position.offset
        # A base that nothing was archived after yet.
        return (-1, position.offset) if position == self.base.position else None

    def has(self, position: Position) -> bool:
        """Whether the way leads from the base, once that is consistent, to this place."""
        begin = self.place(self.base.ready or self.base.position)
        there = self.place(position)
        if begin is None or there is None or there < begin:
            return False
        return position == self.base.position or chain.covered(position, self.reach.segments)


def ways(bases: Iterable[Base], segments: Sequence[Segment], marks: Iterable[Mark] = ()) -> list[Way]:
    """From each base, how far one gets. `marks`: those of the stream that are in no segment (of a quiet server)."""
    ordered, loose = chain.line(segments), list(marks)
    return [_way(base, ordered, loose) for base in sorted(bases, key=lambda base: base.taken)]


def _way(base: Base, ordered: Sequence[Segment], loose: Sequence[Mark]) -> Way:
    incarnation = base.incarnation or incarnation_of(base, ordered)
    reach = chain.reach(ordered, base.position, incarnation)
    newest = bool(reach.segments) and reach.gap is None
    known = [mark for one in reach.segments for mark in one.marks] + (list(loose) if newest else [])
    bare = Way(base, reach, ())
    on_the_way = [mark for mark in known if bare.has(mark.position)]
    return Way(
        base,
        reach,
        tuple(sorted(on_the_way, key=lambda mark: (mark.at, mark.until))),
        tuple(chain.from_the_beginning(ordered, reach.segments[:1])[:-1]),
    )


def incarnation_of(base: Base, ordered: Sequence[Segment]) -> str:
    """Which life of the log the base's position is of: names come back after RESET MASTER. The one that was alive
    nearest to when the base was taken."""
    found = [one for one in ordered if one.holds(base.position)]
    if not found:
        return base.incarnation
    return min(found, key=lambda one: (_distance(one, base.taken), -one.number)).incarnation


def _distance(segment: Segment, moment: datetime) -> float:
    return min((abs((mark.at - moment).total_seconds()) for mark in segment.marks), default=float("inf"))


def choose(
    target: Target, bases: Sequence[Base], segments: Sequence[Segment], marks: Iterable[Mark] = (),
    rates: Rates | None = None,
) -> Plan:  # fmt: skip
    """The plan that takes the least time. Raises Unreachable."""
    known, measured = ways(bases, segments, marks), rates or Rates()
    if not known:
        raise Unreachable(Why.NO_BASE)
    plans = [plan for way in known if (plan := _plan(target, way, measured)) is not None]
    if plans:
        return min(plans, key=lambda plan: (plan.seconds, -plan.base.rank, -plan.base.taken.timestamp()))
    raise _unreachable(target, known)


def _plan(target: Target, way: Way, rates: Rates) -> Plan | None:
    if target.moment is None:
        stop, through = target.position, target.position
        fits = target.incarnation in {"", _incarnation(way)}
        if stop is None or not fits or not way.has(stop):
            return None
        before, after = _around(way, stop)
        surely, atmost = (before.at if before else None), (after.until if after else None)
    else:
        moment = target.moment
        later = next((mark for mark in way.marks if mark.at >= moment), None)
        if way.base.taken > moment or (later is None and moment > way.settled):
            return None
        earlier = [mark for mark in way.marks if mark.until <= moment]
        stop = earlier[-1].position if earlier else way.base.position
        surely, atmost = (earlier[-1].at if earlier else way.base.began or way.base.taken), moment
        through = later.position if later else None
        if way.base.dated:
            surely = moment
        if way.base.ready is not None and not _is_before(way, way.base.ready, stop):
            return None
    used = _used(way, stop if target.moment is None or not way.base.physical else through or stop)
    size = _bytes(way, used, stop)
    return Plan(
        target,
        way.base,
        used,
        stop,
        surely,
        atmost,
        through,
        size,
        rates.seconds(way.base, size),
        rates.measured,
    )


def _incarnation(way: Way) -> str:
    return way.reach.segments[0].incarnation if way.reach.segments else way.base.incarnation


def _is_before(way: Way, one: Position, other: Position) -> bool:
    first, second = way.place(one), way.place(other)
    return first is not None and second is not None and first <= second


def _around(way: Way, position: Position) -> tuple[Mark | None, Mark | None]:
    """The last mark at or before a position, and the first at or after it."""
    before = [mark for mark in way.marks if _is_before(way, mark.position, position)]
    after = [mark for mark in way.marks if _is_before(way, position, mark.position)]
    return (before[-1] if before else None), (after[0] if after else None)


def _used(way: Way, stop: Position) -> tuple[Segment, ...]:
    """The segments from the base to `stop`; of the first log file all from its beginning."""
    end, found = way.place(stop), list(way.leading)
    for number, segment in enumerate(way.reach.segments):
        if end is None or end[0] < 0:
            break
        begins = way.place(Position(segment.log, segment.begin)) or (number, 0)
        if begins < end:
            found.append(segment)
    return tuple(found) if len(found) > len(way.leading) else ()


def _bytes(way: Way, used: Sequence[Segment], stop: Position) -> int:
    """Of the log, from the base to the stop."""
    total = 0
    for segment in used:
        begin = (
            max(segment.begin, way.base.position.offset)
            if segment.log == way.base.position.log
            else segment.begin
        )
        end = min(segment.end, stop.offset) if segment.log == stop.log else segment.end
        total += max(0, end - begin)
    return total


def _unreachable(target: Target, known: Sequence[Way]) -> Unreachable:
    earliest = min(way.base.taken for way in known)
    moment = target.moment
    if moment is None:
        newest = max(known, key=lambda way: way.settled)
        return Unreachable(Why.UNKNOWN, offer=newest.settled, gap=newest.reach.gap, earliest=earliest)
    if moment < earliest:
        return Unreachable(Why.BEFORE, earliest=earliest)
    before = [way for way in known if way.base.taken <= moment]
    best = max(before, key=lambda way: (min(way.settled, moment), way.base.taken))
    following = sorted(way.base.taken for way in known if way.base.taken > moment)
    gap = best.reach.gap
    return Unreachable(
        Why.LATER if gap is None else Why.GAP, offer=best.settled, gap=gap, earliest=earliest,
        next_base=following[0] if following else None,
    )  # fmt: skip
