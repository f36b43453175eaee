"""What would be lost if a system died now, and how long its recovery would take, for each class of data (pure).

Each figure is the worst of its class: a class is as exposed as the source of it that is backed up least, and is back
when its last source is. The clock is an argument; all times are in UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

CRITICAL, APPLICATION, WHOLE = "critical", "application", "whole"
# The tiers of each class; None: all of them.
TIERS: Mapping[str, frozenset[str] | None] = {
    CRITICAL: frozenset({"database"}),
    APPLICATION: frozenset({"application", "database", "configuration", "storage"}),
    WHOLE: None,
}
# A moment that is further ahead than this was written under a wrong clock, and is not believed.
AHEAD = timedelta(minutes=5)


class Reach(StrEnum):
    """How a figure stands to its target. Only MET is good: what nobody has measured is never green."""

    MET = "met"
    MISSED = "missed"
    # Nothing is held of a source, or no recovery was ever measured.
    UNKNOWN = "unknown"
    # The system has no target for this class.
    UNSET = "unset"
    # The system has no source of this class.
    EMPTY = "empty"


@dataclass(frozen=True)
class Held:
    """What one usable set holds of a source. `tables`: only these; empty: all of it. `copies` of it are complete
    and undamaged, `wanted` is how many there should be."""

    set: str
    moment: datetime
    level: str
    tables: frozenset[str] = frozenset()
    copies: int = 1
    wanted: int = 1
    # It knows its place in the server's log: the log can be replayed onto it.
    placed: bool = False


@dataclass(frozen=True)
class Stream:
    """The log of a source as it is stored, without a hole: everything committed from `since` to `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Source:
    """A source that is switched on. `critical`: the tables that count for the class of that name; empty: all."""

    name: str
    tier: str
    held: Sequence[Held] = ()
    critical: frozenset[str] = frozenset()
    streams: Sequence[Stream] = ()


@dataclass(frozen=True)
class Measured:
    """A recovery or a drill that went well: the seconds that each source took, and those that it took besides.

    `waited`: seconds in which nothing ran because people had to decide, or to bring something.
    """

    at: datetime
    sources: Mapping[str, float]
    besides: float = 0.0
    waited: float = 0.0
    drill: bool = True
    name: str = ""

    def seconds(self, names: Iterable[str]) -> float:
        return self.besides + sum(self.sources[name] for name in names)


@dataclass(frozen=True)
class Goal:
    """Seconds; None where nothing was promised."""

    loss: float | None = None
    time: float | None = None


@dataclass(frozen=True)
class Point:
    """The newest moment that one source can be brought back to: from which set, and whether by its log."""

    source: str
    moment: datetime
    held: Held
    by_log: bool = False


@dataclass(frozen=True)
class Exposure:
    """One class of a system at one moment. Seconds; None where nobody knows."""

    data_class: str
    sources: tuple[str, ...]
    goal: Goal
    # The source that would lose the most, and to which moment it comes back.
    worst: Point | None
    # Sources of which nothing is held: all of it would be lost.
    bare: tuple[str, ...]
    lost: float | None
    measured: Measured | None
    takes: float | None
    loss_reach: Reach
    time_reach: Reach
    # Sources whose newest point has fewer good copies than it should, and those whose set was never proven.
    thin: tuple[str, ...] = field(default=())
    unproven: tuple[str, ...] = field(default=())


def exposures(
    sources: Sequence[Source], measures: Sequence[Measured], goals: Mapping[str, Goal], now: datetime
) -> list[Exposure]:
    """Every class of a system, in their order."""
    return [_exposure(name, sources, measures, goals.get(name, Goal()), now) for name in TIERS]


def _exposure(
    name: str, sources: Sequence[Source], measures: Sequence[Measured], goal: Goal, now: datetime
) -> Exposure:
    mine = [one for one in sources if (tiers := TIERS[name]) is None or one.tier in tiers]
    points = {one.name: newest(one, now, critical=name == CRITICAL) for one in mine}
    found = [point for point in points.values() if point is not None]
    worst = min(found, key=lambda point: point.moment, default=None)
    bare = tuple(one for one, point in points.items() if point is None)
    lost = None if bare or worst is None else max(0.0, (now - worst.moment).total_seconds())
    measured = _newest_measure(points, measures)
    takes = measured.seconds(points) if measured else None
    return Exposure(
        name, tuple(points), goal, worst, bare, lost, measured, takes,
        reach(lost, goal.loss, there=bool(mine)), reach(takes, goal.time, there=bool(mine)),
        tuple(point.source for point in found if point.held.copies < point.held.wanted),
        tuple(point.source for point in found if point.held.level != "proven"),
    )  # fmt: skip


def reach(seconds: float | None, target: float | None, *, there: bool = True) -> Reach:
    """How `seconds` stand to `target`: exactly on it is still met."""
    if not there:
        return Reach.EMPTY
    if seconds is None:
        return Reach.UNKNOWN
    if target is None:
        return Reach.UNSET
    return Reach.MET if seconds <= target else Reach.MISSED


def newest(source: Source, now: datetime, *, critical: bool = False) -> Point | None:
    """The newest moment that `source` can be brought back to; None when there is none.

    A set of some tables alone counts for the class of critical data, when it holds all that are critical, and for
    no other. A stored log counts from a set of the whole source on, which it has to reach back to without a hole.
    """
    believed = [one for one in source.held if one.moment <= now + AHEAD]
    counting = [one for one in believed if not one.tables or (critical and _covers(one, source))]
    points = [Point(source.name, one.moment, one) for one in counting]
    for base in (one for one in believed if one.placed and not one.tables):
        points += [
            Point(source.name, stream.until, base, by_log=True)
            for stream in source.streams
            if stream.since <= base.moment < stream.until <= now + AHEAD
        ]
    return max(points, key=lambda point: (point.moment, point.held.level == "proven"), default=None)


def _covers(one: Held, source: Source) -> bool:
    return bool(source.critical) and source.critical <= one.tables


def _newest_measure(names: Iterable[str], measures: Sequence[Measured]) -> Measured | None:
    """The newest that has measured every one of these sources."""
    wanted = set(names)
    fitting = [one for one in measures if wanted and wanted <= one.sources.keys()]
    return max(fitting, key=lambda one: one.at, default=None)
