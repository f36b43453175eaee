"""Which sets stay, which go, and why (pure). docs/retention.md tells the same to people.

A rule keeps one set of each of the newest days, weeks, months or years *that have any*: gaps cost nothing. Of one
day the set that lacks nothing counts before one that does, then the better level, then the newer one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# Clocks of two machines may differ by this; a set from later than that is from the future.
SKEW = timedelta(minutes=5)


class Why(StrEnum):
    """One reason to keep a set, or to let it go."""

    # Kept by a rule.
    LAST = "last"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    AGE = "age"
    # Kept whatever the rules say.
    MINIMUM = "minimum"
    BEST = "best"
    PINNED = "pinned"
    BUSY = "busy"
    NEEDED = "needed"
    FUTURE = "future"
    SAFETY = "safety"
    DAMAGED = "damaged"
    EVERYTHING = "everything"
    # Not kept.
    DAY_OF_OTHER = "day of another"
    WEEK_OF_OTHER = "week of another"
    MONTH_OF_OTHER = "month of another"
    YEAR_OF_OTHER = "year of another"
    BEYOND = "beyond"


@dataclass(frozen=True)
class Reason:
    """`what` says more: a day (2026-11-16), a week (2026-W47), a month, a year, a pin's reason, a number."""

    why: Why
    what: str = ""

    def __str__(self) -> str:
        what = self.what
        if self.why in (Why.DAY, Why.DAY_OF_OTHER):
            what = f"{date.fromisoformat(what):%A} {what}"
        return SENTENCES[self.why].format(what)


SENTENCES = {
    Why.LAST: "one of the newest {}",
    Why.DAY: "stands for {}",
    Why.WEEK: "stands for week {}",
    Why.MONTH: "stands for month {}",
    Why.YEAR: "stands for year {}",
    Why.AGE: "younger than {} days",
    Why.MINIMUM: "one of at least {}",
    Why.BEST: "newest {}",
    Why.PINNED: "pinned: {}",
    Why.BUSY: "{}",
    Why.NEEDED: "the set of {} needs it",
    Why.FUTURE: "from the future",
    Why.SAFETY: "taken before a restore, less than {} days ago",
    Why.DAMAGED: "damaged less than {} days ago: it may still serve",
    Why.EVERYTHING: "everything is kept",
    Why.DAY_OF_OTHER: "another one stands for {}",
    Why.WEEK_OF_OTHER: "another one stands for week {}",
    Why.MONTH_OF_OTHER: "another one stands for month {}",
    Why.YEAR_OF_OTHER: "another one stands for year {}",
    Why.BEYOND: "no rule reaches back so far",
}


@dataclass(frozen=True)
class Rules:
    """How many to keep. 0 switches a rule off; with all of them off everything is kept.

    `days`: everything that is younger. `minimum`: so many usable ones stay, whatever else holds. `special_days`: how
    long sets stay that count for no rule: those taken before a restore, and damaged ones. A minimum below 1 is 1.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    days: int = 0
    minimum: int = 3
    special_days: int = 30

    @property
    def keeps_everything(self) -> bool:
        return not any((self.last, self.daily, self.weekly, self.monthly, self.yearly, self.days))


@dataclass(frozen=True, slots=True)
class Item:
    """A set, as far as retention cares. `moment` in UTC; `rank`: of the level, 0 for none; `level`: its word.

    `usable`: it has a copy that is whole. `lacking`: the dump was incomplete. `safety`: taken before a restore; it
    holds what somebody wanted to be rid of. `needs`: the sets it cannot be restored without (its chain, objects it
    shares). `pin`, `busy`: why it must not be touched; "" if nothing.
    """

    id: int
    moment: datetime
    rank: int = 0
    level: str = ""
    usable: bool = True
    lacking: bool = False
    safety: bool = False
    pin: str = ""
    busy: str = ""
    needs: frozenset[int] = frozenset()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a set, with every reason for it."""

    id: int
    keep: bool
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.reasons))


def decide(items: Iterable[Item], rules: Rules, now: datetime, zone: str = "UTC") -> list[Decision]:
    """A decision for each of `items`, newest first. Days, weeks, months and years are those of `zone`.

    Never lets go: the newest usable set of the best level; one that something that stays needs, or that is pinned,
    busy, or from the future; and never more than leaves `minimum` usable ones.
    """
    case = _Case(items, rules, now, ZoneInfo(zone))
    case.apply_rules()
    case.keep_young()
    case.keep_untouchable()
    case.keep_best()
    case.keep_needed()
    return [case.decision(item) for item in case.items]


# The words of a set's day, week, month and year, in this order everywhere.
Places = tuple[str, str, str, str]
RULES = (Why.DAY, Why.WEEK, Why.MONTH, Why.YEAR)
OTHERS = (Why.DAY_OF_OTHER, Why.WEEK_OF_OTHER, Why.MONTH_OF_OTHER, Why.YEAR_OF_OTHER)


class _Case:
    """One decision under way. All lists are newest first; `kept` has the reasons to keep each set."""

    def __init__(self, items: Iterable[Item], rules: Rules, now: datetime, zone: ZoneInfo) -> None:
        self.rules, self.now, self.zone = rules, now, zone
        self.items = sorted(items, key=lambda item: (item.moment, item.id), reverse=True)
        self.past = [item for item in self.items if item.moment <= now + SKEW]
        self.counted = [item for item in self.past if item.usable and not item.safety]
        self.kept: dict[int, list[Reason]] = {item.id: [] for item in self.items}
        self.days: dict[date, Places] = {}
        self.places = {item.id: self._places(item) for item in self.counted}
        # The days, weeks, months and years that a kept set stands for.
        self.covered: list[set[str]] = []
        # Reasons are alike for all that go from one day.
        self.let_go: dict[Sequence[str], tuple[Reason, ...]] = {}

    def _places(self, item: Item) -> Places:
        day = item.moment.astimezone(self.zone).date()
        if (found := self.days.get(day)) is None:
            year, week, _day = day.isocalendar()
            found = self.days[day] = (day.isoformat(), f"{year:04}-W{week:02}", f"{day:%Y-%m}", f"{day:%Y}")
        return found

    def _keep(self, item: Item, why: Why, what: object = "") -> None:
        self.kept[item.id].append(Reason(why, str(what)))

    def apply_rules(self) -> None:
        rules = self.rules
        for item in self.counted[: rules.last]:
            self._keep(item, Why.LAST, rules.last)
        for at, count in enumerate((rules.daily, rules.weekly, rules.monthly, rules.yearly)):
            best = self._best_of_each(at, count)
            for place, item in best.items():
                self._keep(item, RULES[at], place)
            self.covered.append(set(best))

    def _best_of_each(self, at: int, count: int) -> dict[str, Item]:
        """The set that stands for each of the newest `count` days, or weeks, months, years."""
        best: dict[str, Item] = {}
        for item in self.counted:
            place = self.places[item.id][at]
            if place not in best:
                if len(best) >= count:
                    break
                best[place] = item
            elif _standing(item) > _standing(best[place]):
                best[place] = item
        return best

    def keep_young(self) -> None:
        rules = self.rules
        if rules.days:
            limit = self.now - timedelta(days=rules.days)
            for item in self.counted:
                if item.moment > limit:
                    self._keep(item, Why.AGE, rules.days)
        limit = self.now - timedelta(days=rules.special_days)
        for item in self.past:
            if item.moment > limit and (item.safety or not item.usable):
                self._keep(item, Why.SAFETY if item.safety else Why.DAMAGED, rules.special_days)

    def keep_untouchable(self) -> None:
        """What no rule may let go."""
        for item in self.items:
            if item.pin:
                self._keep(item, Why.PINNED, item.pin)
            if item.busy:
                self._keep(item, Why.BUSY, item.busy)
            if item.moment > self.now + SKEW:
                self._keep(item, Why.FUTURE)
            if self.rules.keeps_everything:
                self._keep(item, Why.EVERYTHING)

    def keep_best(self) -> None:
        """The newest of the best level, also of those that lack nothing; and the minimum."""
        if self.counted:  # `max` gives the first of equal ones, which is the newest.
            for item in {max(self.counted, key=_standing), max(self.counted, key=lambda item: item.rank)}:
                self._keep(item, Why.BEST, item.level)
        for item in self._at_least(max(self.rules.minimum, 1)):
            self._keep(item, Why.MINIMUM, max(self.rules.minimum, 1))

    def _at_least(self, minimum: int) -> list[Item]:
        """The newest that count; where they do not suffice also others, the usable ones first."""
        if len(self.counted) >= minimum:
            return self.counted[:minimum]
        others = [item for item in self.past if item.safety or not item.usable]
        others.sort(key=lambda item: not item.usable)
        return [*self.counted, *others[: minimum - len(self.counted)]]

    def keep_needed(self) -> None:
        """Whatever a kept set needs stays, and what that needs in turn."""
        known = {item.id: item for item in self.items}
        waiting = [item for item in self.items if self.kept[item.id] and item.needs]
        while waiting:
            item = waiting.pop()
            for need in sorted(item.needs & known.keys() - {item.id}):
                if not self.kept[need]:
                    waiting.append(known[need])
                self._keep(known[need], Why.NEEDED, f"{item.moment.astimezone(self.zone):%Y-%m-%d %H:%M}")

    def decision(self, item: Item) -> Decision:
        if reasons := self.kept[item.id]:
            return Decision(item.id, True, tuple(reasons))
        places = self.places.get(item.id, ())
        if (found := self.let_go.get(places)) is None:
            found = self.let_go[places] = self._for_whom(places) or (Reason(Why.BEYOND),)
        return Decision(item.id, False, found)

    def _for_whom(self, places: Sequence[str]) -> tuple[Reason, ...]:
        """Which of its times others stand for."""
        pairs = zip(OTHERS, places, self.covered, strict=False)
        return tuple(Reason(why, place) for why, place, covered in pairs if place in covered)


def _standing(item: Item) -> tuple[bool, int]:
    return (not item.lacking, item.rank)
