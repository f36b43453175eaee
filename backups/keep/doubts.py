"""When retention has to stand still: the picture is implausible, and whoever deletes by it may delete the wrong thing
(pure). A clock that jumped, a store that lost its disk, a thief who poisons what is taken: all look like this."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from backups.keep.retention import SKEW, Decision, Item


class Doubt(StrEnum):
    FUTURE = "future"
    BACK = "back"
    MISSED = "missed"
    DAMAGED = "damaged"
    LEVEL = "level"
    SIZE = "size"
    LISTING = "listing"
    SHARE = "share"


@dataclass(frozen=True)
class Found:
    """A doubt, and the values of its sentence, which people read in their language elsewhere."""

    doubt: Doubt
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """From when on something is implausible. Shares are parts of one.

    `missed` planned times in a row, over `missed_for` at least: an outage is not one. `newest`: so many sets are
    looked at for damage and level. A few sets prove nothing: below `few` no share is reckoned.
    """

    missed: int = 10
    missed_for: timedelta = timedelta(days=3)
    newest: int = 6
    few: int = 3
    damaged: float = 0.2
    size: float = 0.4
    listed: float = 0.8
    removed: float = 0.5
    removed_count: int = 200


LIMITS = Limits()


@dataclass(frozen=True)
class Picture:
    """What is known besides the sets: the last time something was removed, how many planned times have passed since
    the newest set, the rank that the plan asks for, and what each destination has of what the catalogue says."""

    now: datetime
    last_pruned_at: datetime | None = None
    missed: int = 0
    wanted_rank: int = 0
    # Destination -> (sets that its listing has, sets that it should have).
    listed: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def doubts(
    items: Iterable[Item], decisions: Sequence[Decision], picture: Picture, limits: Limits = LIMITS
) -> list[Found]:
    """Every reason to remove nothing; none when the picture is plausible, or nothing would be removed."""
    leaving = {decision.id for decision in decisions if not decision.keep}
    if not leaving:
        return []
    newest_first = sorted(items, key=lambda item: (item.moment, item.id), reverse=True)
    ordinary = [item for item in newest_first if not item.safety and not item.busy]
    return [
        *_clock(newest_first, picture, limits),
        *_damage(ordinary, picture, limits),
        *_sizes(ordinary, limits),
        *_listings(picture, limits),
        *_share(newest_first, leaving, limits),
    ]


def _clock(items: Sequence[Item], picture: Picture, limits: Limits) -> Iterator[Found]:
    now, newest = picture.now, items[0].moment
    if newest > now + SKEW:
        yield Found(Doubt.FUTURE, {"newest": newest, "now": now})
    if picture.last_pruned_at is not None and now < picture.last_pruned_at - SKEW:
        yield Found(Doubt.BACK, {"before": picture.last_pruned_at, "now": now})
    if picture.missed > limits.missed and now - newest > limits.missed_for:
        yield Found(Doubt.MISSED, {"count": picture.missed, "newest": newest})


def _damage(items: Sequence[Item], picture: Picture, limits: Limits) -> Iterator[Found]:
    damaged = sum(not item.usable for item in items)
    if damaged >= limits.few and damaged > limits.damaged * len(items):
        yield Found(Doubt.DAMAGED, {"count": damaged, "of": len(items)})
    usable = [item for item in items if item.usable]
    newest, before = usable[: limits.newest], usable[limits.newest :]
    low = sum(_too_low(item, picture.wanted_rank) for item in newest)
    good_before = any(not _too_low(item, picture.wanted_rank) for item in before)
    if low >= limits.few and low * 2 > len(newest) and good_before:
        yield Found(Doubt.LEVEL, {"count": low, "of": len(newest)})


def _too_low(item: Item, wanted_rank: int) -> bool:
    return item.lacking or item.rank < wanted_rank


def _sizes(items: Iterable[Item], limits: Limits) -> Iterator[Found]:
    """Only of sets that stand alone: an increment is small."""
    sizes = [item.size for item in items if item.usable and not item.needs]
    newest, before = sizes[:1], sizes[1:11]
    if len(before) < limits.few:
        return
    usual = median(before)
    if newest[0] < limits.size * usual:
        yield Found(Doubt.SIZE, {"size": newest[0], "usual": round(usual)})


def _listings(picture: Picture, limits: Limits) -> Iterator[Found]:
    for name, (listed, expected) in sorted(picture.listed.items()):
        if listed < limits.listed * expected:
            yield Found(Doubt.LISTING, {"destination": name, "listed": listed, "expected": expected})


def _share(items: Sequence[Item], leaving: set[int], limits: Limits) -> Iterator[Found]:
    usable = [item for item in items if item.usable]
    count = sum(item.id in leaving for item in usable)
    many = count > limits.few and count > limits.removed * len(usable)
    if many or count > limits.removed_count:
        yield Found(Doubt.SHARE, {"count": count, "of": len(usable)})
