"""What a time line shows: where on it sets, reachable stretches, holes and recoveries lie (pure).

Everything is in thousandths of the window's width, so that it is drawn at any size.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backups.replay.plan import Way

WIDTH = 1000
# A second of it is hit by a finger: so many places to choose from.
SLICES = 48
# The narrowest bar.
THIN = 4


@dataclass(frozen=True)
class Bar:
    """From `x` on, `width` wide. `words` say what it is, `at` when it was."""

    x: float
    width: float
    words: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Window:
    begin: datetime
    end: datetime

    def x(self, moment: datetime) -> float:
        return round((moment - self.begin) / (self.end - self.begin) * WIDTH, 1)

    def bar(self, begin: datetime, end: datetime, words: str = "") -> Bar | None:
        """The part of a stretch that lies in the window; None: nothing."""
        if end < self.begin or begin > self.end:
            return None
        left, right = self.x(max(begin, self.begin)), self.x(min(end, self.end))
        return Bar(min(left, WIDTH - THIN), max(THIN, right - left), words, begin)

    def point(self, moment: datetime, words: str = "") -> Bar | None:
        return self.bar(moment, moment, words)


@dataclass
class Line:
    """What is drawn: `sets` and `recoveries` as points, `reach` and `holes` as stretches, `slices` to choose from."""

    window: Window
    sets: list[Bar] = field(default_factory=list)
    reach: list[Bar] = field(default_factory=list)
    holes: list[Bar] = field(default_factory=list)
    recoveries: list[Bar] = field(default_factory=list)
    slices: list[Bar] = field(default_factory=list)
    chosen: Bar | None = None


def stretches(ways: Iterable[Way]) -> list[tuple[datetime, datetime]]:
    """From when to when every moment can be brought back, without overlaps, oldest first."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted((way.base.taken, max(way.base.taken, way.settled)) for way in ways):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def holes(reached: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Between the stretches: what was committed there cannot be brought back."""
    return [(one[1], other[0]) for one, other in itertools.pairwise(reached)]


def draw(
    window: Window, ways: Sequence[Way], sets: Iterable[tuple[datetime, str]], recoveries: Iterable[tuple[datetime, str]],
    chosen: datetime | None = None,
) -> Line:  # fmt: skip
    reached = stretches(ways)
    step = (window.end - window.begin) / SLICES
    return Line(
        window,
        _there(window.point(at, words) for at, words in sets),
        _there(window.bar(begin, end) for begin, end in reached),
        _there(window.bar(begin, end) for begin, end in holes(reached)),
        _there(window.point(at, words) for at, words in recoveries),
        [
            Bar(number * WIDTH / SLICES, WIDTH / SLICES, at=window.begin + step * (number + 0.5))
            for number in range(SLICES)
        ],
        window.point(chosen) if chosen else None,
    )


def _there(bars: Iterable[Bar | None]) -> list[Bar]:
    return [bar for bar in bars if bar is not None]


def window(now: datetime, span: timedelta, end: datetime | None = None) -> Window:
    """As wide as `span`, up to `end`, and never into the future."""
    last = min(end or now, now)
    return Window(last - span, last)
