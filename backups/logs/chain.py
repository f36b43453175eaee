"""What an archived log consists of, how its pieces follow each other, and where something is missing (pure).

A log file of the server (a binlog, a WAL file) is stored as segments: stretches of its bytes, in order. Segments of
a stream are numbered without holes, and each names the digest of the one before, so that a missing, an exchanged
and a doubled one are seen. Several small ones may have been replaced by one that stands for them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise


@dataclass(frozen=True)
class Position:
    """A place in the server's log: the name of a log file, and the number of its bytes before that place."""

    log: str
    offset: int

    def __str__(self) -> str:
        return f"{self.log}:{self.offset}"


@dataclass(frozen=True)
class Mark:
    """The server said between `at` and `until` (both by its own clock, in UTC) that its log ended at `position`.

    So everything committed before `at` is at or before `position`, and everything at or before `position` was
    committed before `until`: their distance is the uncertainty.
    """

    at: datetime
    position: Position
    until: datetime


@dataclass(frozen=True)
class Segment:
    """One stored stretch of one log file: the bytes `begin` (counted from 0) to `end`, without the one at `end`.

    `number` to `last`: its place in the stream; they differ for one that stands for several. `final`: when it was
    stored, it was known to reach the end of its log file. `previous`: the link of the segment before. `digest`:
    SHA-256 of the stored bytes, in hexadecimal. `stands_for`: the link of the last one that it replaces. `bounds`:
    what the engine knows of it ("gtid_first", "gtid_last"; texts).
    """

    number: int
    incarnation: str
    log: str
    begin: int
    end: int
    final: bool
    marks: tuple[Mark, ...]
    previous: str
    digest: str
    key: str = ""
    stored_size: int = 0
    last: int = 0
    stands_for: str = ""
    bounds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.last:
            object.__setattr__(self, "last", self.number)
        if not (1 <= self.number <= self.last and 0 <= self.begin <= self.end):
            raise ValueError(f"No segment has the numbers {self.number} to {self.last}, or these bounds.")

    @property
    def link(self) -> str:
        """What the next one has as `previous`."""
        return self.stands_for or self.digest

    @property
    def ends_at(self) -> Position:
        return Position(self.log, self.end)

    def holds(self, position: Position) -> bool:
        """Whether that place is in it, or at its end."""
        return self.log == position.log and self.begin <= position.offset <= self.end


class Why(StrEnum):
    """Why there is no way on."""

    START = "start"  # The place to start from is in no segment.
    MISSING = "missing"  # Segments are missing, or do not fit together.
    INCARNATION = "incarnation"  # The server's log began anew.


@dataclass(frozen=True)
class Gap:
    """A stretch of the log that is in no segment: after `after`, before `before`; None where nothing is."""

    why: Why
    after: Segment | None
    before: Segment | None


@dataclass(frozen=True)
class Reach:
    """How far one can go: through `segments`, up to `end`. `gap`: why not further; None: nothing came later."""

    segments: tuple[Segment, ...]
    end: Position
    gap: Gap | None


def line(segments: Iterable[Segment]) -> list[Segment]:
    """The segments in order, each number once.

    Where there are several for a number (a try that was repeated, one beside those that it stands for), those stay
    that lead furthest without a hole; among these the ones that stand for most.
    """
    by_number = _by_number(segments)
    furthest = _furthest(by_number)
    found: list[Segment] = []
    waiting, after = sorted(by_number), 0
    for number in waiting:
        if number <= after:
            continue
        fitting = [one for one in by_number[number] if found and follows(found[-1], one)]
        chosen = max(fitting or by_number[number], key=lambda one: (furthest[id(one)], one.last, one.end))
        found.append(chosen)
        after = chosen.last
    return found


def _by_number(segments: Iterable[Segment]) -> dict[int, list[Segment]]:
    found: dict[int, list[Segment]] = defaultdict(list)
    for one in segments:
        found[one.number].append(one)
    return found


def _furthest(by_number: Mapping[int, Sequence[Segment]]) -> dict[int, int]:
    """{id of a segment: the last number that is reached from it without a hole}."""
    found: dict[int, int] = {}
    for number in sorted(by_number, reverse=True):
        for one in by_number[number]:
            after = [found[id(other)] for other in by_number.get(one.last + 1, ()) if follows(one, other)]
            found[id(one)] = max(after, default=one.last)
    return found


def follows(one: Segment, other: Segment) -> bool:
    """Whether `other` goes on where `one` ends, with nothing in between."""
    return (
        other.number == one.last + 1
        and other.previous == one.link
        and other.incarnation == one.incarnation
        and other.begin == (one.end if other.log == one.log else 0)
    )


def gap_between(one: Segment, other: Segment) -> Gap | None:
    """None when `other` goes on where `one` ends."""
    if follows(one, other):
        return None
    chained = other.number == one.last + 1 and other.previous == one.link
    anew = chained and other.incarnation != one.incarnation
    return Gap(Why.INCARNATION if anew else Why.MISSING, one, other)


def gaps(segments: Iterable[Segment]) -> list[Gap]:
    """Every hole in the archive, oldest first."""
    ordered = line(segments)
    return [gap for one, other in pairwise(ordered) if (gap := gap_between(one, other)) is not None]


def reach(segments: Iterable[Segment], start: Position, incarnation: str = "") -> Reach:
    """How far one gets from `start` (a base's position) without a hole.

    `incarnation`: which life of the log is meant, since names of log files come back; "": the newest that has it.
    """
    ordered = line(segments)
    at = _index_of(ordered, start, incarnation)
    if at is None:
        return Reach((), start, Gap(Why.START, None, _first(ordered, incarnation)))
    way = [ordered[at]]
    for other in ordered[at + 1 :]:
        if (gap := gap_between(way[-1], other)) is not None:
            return Reach(tuple(way), way[-1].ends_at, gap)
        way.append(other)
    return Reach(tuple(way), way[-1].ends_at, None)


def from_the_beginning(ordered: Sequence[Segment], way: Sequence[Segment]) -> list[Segment]:
    """`way` with what comes before it in its first log file: a log is read from its first byte."""
    if not way:
        return []
    before: list[Segment] = []
    index = next(at for at, one in enumerate(ordered) if one.number == way[0].number)
    for one in reversed(ordered[:index]):
        if one.log != way[0].log or not follows(one, before[-1] if before else way[0]):
            break
        before.append(one)
    return [*reversed(before), *way]


def needed_from(segments: Iterable[Segment], bases: Iterable[Position]) -> int | None:
    """The lowest number that is needed to go on from one of `bases`; None where none of them is in the segments.

    Names of log files come back: of several places that a base may mean, the oldest counts.
    """
    ordered = line(segments)
    needed = []
    for base in bases:
        at = next((one for one in ordered if one.holds(base)), None)
        if at is not None:
            needed.append(from_the_beginning(ordered, [at])[0].number)
    return min(needed, default=None)


def _index_of(ordered: Sequence[Segment], start: Position, incarnation: str) -> int | None:
    """The newest segment that has the place in it: one that begins there wins over one that ends there."""
    for index in range(len(ordered) - 1, -1, -1):
        one = ordered[index]
        if one.holds(start) and incarnation in ("", one.incarnation):
            return index
    return None


def _first(ordered: Sequence[Segment], incarnation: str) -> Segment | None:
    return next((one for one in ordered if incarnation in ("", one.incarnation)), None)


def settled_until(marks: Iterable[Mark], segments: Sequence[Segment]) -> datetime | None:
    """The latest time before which everything committed is in `segments` (in order, of one incarnation); None: unknown."""
    known = [mark.at for mark in marks if covered(mark.position, segments)]
    return max(known, default=None)


def covered(position: Position, segments: Sequence[Segment]) -> bool:
    """Whether everything up to that place is in the segments (in order, of one incarnation), as far as they go back."""
    for one in reversed(segments):
        if one.log == position.log:
            return position.offset <= one.end
    return False
