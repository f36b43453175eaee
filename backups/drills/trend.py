"""The course of past drills as the points of a small chart (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

# The chart's own units, as its viewBox has them; the margin keeps marks inside.
WIDTH, HEIGHT, MARGIN = 600.0, 120.0, 8.0


@dataclass(frozen=True)
class Mark:
    """One drill: where its mark stands, its seconds, and whether it passed."""

    x: float
    y: float
    seconds: float
    good: bool
    name: str


@dataclass(frozen=True)
class Trend:
    """`target`: the height of the line of what was promised; None where it is off the chart, or nothing was."""

    marks: tuple[Mark, ...]
    target: float | None
    highest: float

    @property
    def line(self) -> str:
        """For the `points` of a polyline."""
        return " ".join(f"{one.x:.1f},{one.y:.1f}" for one in self.marks)


def trend(drills: Sequence[tuple[str, float, bool]], target: float | None) -> Trend | None:
    """The chart of (name, seconds, passed), oldest first; None for fewer than two: one drill has no course.

    The target is drawn while it is at most five times as high as the highest mark: further up it would press all
    marks to the floor.
    """
    if len(drills) < 2:
        return None
    top = max(seconds for _name, seconds, _good in drills)
    if target is not None and target <= 5 * max(top, 1e-9):
        top = max(top, target)
    top = top or 1.0
    step = (WIDTH - 2 * MARGIN) / (len(drills) - 1)

    def height(seconds: float) -> float:
        return round(HEIGHT - MARGIN - seconds / top * (HEIGHT - 2 * MARGIN), 1)

    marks = tuple(
        Mark(round(MARGIN + number * step, 1), height(seconds), seconds, good, name)
        for number, (name, seconds, good) in enumerate(drills)
    )
    return Trend(marks, height(target) if target is not None and target <= top else None, top)
