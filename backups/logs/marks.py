"""What the server's clock says of its positions, from the question until the segments are safe (pure)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from backups.logs.chain import Mark


@dataclass(frozen=True)
class Taken:
    """A mark, and when we had asked for it by our own clock."""

    mark: Mark
    asked_at: datetime


class Marks:
    """The marks of one connection. Those that a stored segment covers go with it; the last of them says what is safe
    once that segment is."""

    def __init__(self) -> None:
        self._waiting: list[Taken] = []
        # {number of a segment: the newest mark that it, and all before it, cover}
        self._covered: dict[int, Taken] = {}
        self.newest: Mark | None = None

    def take(self, mark: Mark, asked_at: datetime) -> None:
        """Of many for one place the first and the last tell everything."""
        last_two = [one.mark.position for one in self._waiting[-2:]]
        if last_two == [mark.position, mark.position]:
            self._waiting.pop()
        self._waiting.append(Taken(mark, asked_at))
        self.newest = mark

    def attach(self, number: int, covers: Callable[[Mark], bool]) -> list[Mark]:
        """Those that the new segment `number` covers; they go with it."""
        covered = self.note(number, covers)
        self._waiting = self._waiting[len(covered) :]
        return [one.mark for one in covered]

    def note(self, number: int, covers: Callable[[Mark], bool]) -> list[Taken]:
        """What is stored up to the segment `number` also covers these, though nothing has grown since."""
        covered = []
        for one in self._waiting:
            if not covers(one.mark):
                break
            covered.append(one)
        if covered:
            self._covered[number] = covered[-1]
        return covered

    def safe(self, through: int) -> Taken | None:
        """The newest mark that everything up to the segment `through` covers; None: unknown to this connection."""
        known = [number for number in self._covered if number <= through]
        return self._covered[max(known)] if known else None

    def forget(self, through: int) -> None:
        """Every destination has the segments up to `through`: only the newest of those marks says something."""
        known = sorted(number for number in self._covered if number <= through)
        for number in known[:-1]:
            del self._covered[number]
