"""In which order missing copies are made up for (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Missing:
    """A copy that is missing at a destination. `line`: what its set is a part of, a plan; `needs`: keys of earlier sets."""

    key: int
    line: int
    moment: datetime
    good: bool
    needs: frozenset[int] = frozenset()


def order(missing: Iterable[Missing]) -> list[int]:
    """The newest good set of each line first, so that something recent is there soon; then the rest, oldest first.

    What a set needs comes before it; a need that is not missing is there already.
    """
    known = {one.key: one for one in missing}
    by_age = sorted(known.values(), key=lambda one: (one.moment, one.key))
    newest = {one.line: one for one in by_age if one.good}
    placed: dict[int, None] = {}
    for one in [*sorted(newest.values(), key=lambda one: one.moment, reverse=True), *by_age]:
        _place(one, known, placed)
    return list(placed)


def _place(one: Missing, known: Mapping[int, Missing], placed: dict[int, None]) -> None:
    """With what it needs before it; a chain may be long."""
    waiting, open_ones = [one], {one.key}
    while waiting:
        top = waiting[-1]
        first = next(
            (
                known[key]
                for key in sorted(top.needs)
                if key in known and key not in placed and key not in open_ones
            ),
            None,
        )
        if first is None:
            placed.setdefault(waiting.pop().key)
        else:
            open_ones.add(first.key)
            waiting.append(first)
