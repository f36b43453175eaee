"""The rule of three copies, two kinds of medium, one away, one locked (pure).

The original counts as one of the three, on a disk where it is; it is neither away nor locked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

ORIGINAL = "disk"


@dataclass(frozen=True)
class Kept:
    """A complete copy: the medium that it is on, whether that is at another site, and whether nobody can delete it."""

    medium: str
    away: bool = False
    locked: bool = False


class Lack(StrEnum):
    """What the rule asks for and is not there."""

    COPIES = "copies"
    KINDS = "kinds"
    AWAY = "away"
    LOCKED = "locked"


def lacks(copies: Iterable[Kept]) -> list[Lack]:
    """What is missing, in the order of the rule; empty where it holds."""
    kept = list(copies)
    holds = {
        Lack.COPIES: 1 + len(kept) >= 3,
        Lack.KINDS: len({ORIGINAL, *(one.medium for one in kept)}) >= 2,
        Lack.AWAY: any(one.away for one in kept),
        Lack.LOCKED: any(one.locked for one in kept),
    }
    return [lack for lack in Lack if not holds[lack]]
