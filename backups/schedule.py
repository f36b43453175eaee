"""What is due, and what is overdue (pure: the clock is an argument)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

# More than any zone moves its clocks by.
SHIFT = timedelta(hours=3)
# Planned times that were missed are counted up to here.
COUNTED = 1000


class InvalidCron(ValueError):
    """The expression cannot be read, or never fires."""


class Cron:
    """A cron expression in a time zone: 02:30 runs once on both days on which the clocks change.

    The expression is walked on the wall clock, without zone, and each time is then placed in the zone: a
    time that the spring change skips runs at the moment of the change's gap (02:30 becomes 03:30 local),
    one that the autumn change has twice runs the first time.
    """

    def __init__(self, expression: str, zone: str) -> None:
        self.expression = expression
        self.zone = ZoneInfo(zone)
        fields = expression.split()
        if len(fields) != 5:
            raise InvalidCron("A schedule has five fields: minute, hour, day, month, weekday.")
        # A schedule of every hour takes both hours that bear the same name in autumn.
        self._every_hour = fields[1] in {"*", "*/1", "0-23", "0-23/1"}
        try:
            self._walk(datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001 - a wall clock has no zone
        except (CroniterBadCronError, CroniterBadDateError, ValueError, KeyError, AttributeError) as error:
            raise InvalidCron(f'"{expression}" is not a schedule that ever comes: {error}') from error

    def _walk(self, wall: datetime) -> croniter:
        return croniter(self.expression, wall, max_years_between_matches=8)

    def _placed(self, wall: datetime) -> list[datetime]:
        """The moments of a wall clock's time, in UTC."""
        first = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
        second = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return [first, second] if self._every_hour and second > first else [first]

    def _wall(self, moment: datetime) -> datetime:
        """Half a minute past: never a planned time itself, which croniter would leave out on both sides."""
        return moment.astimezone(self.zone).replace(tzinfo=None, second=30, microsecond=0)

    def _from(self, moment: datetime) -> Iterator[datetime]:
        """Planned times on the wall clock: one from well before `moment`, and all that follow."""
        wall = self._wall(moment) - SHIFT
        yield self._walk(wall).get_prev(datetime)
        forth = self._walk(wall)
        while True:
            yield forth.get_next(datetime)

    def _around(self, moment: datetime, until: datetime | None = None) -> list[datetime]:
        """Planned times from a little before `moment` to a little after `until`, one at least on either side."""
        last = self._wall(until or moment) + SHIFT
        times: set[datetime] = set()
        for wall in islice(self._from(moment), COUNTED + 1000):
            times.update(self._placed(wall))
            if wall > last:
                break
        return sorted(times)

    def after(self, moment: datetime) -> datetime:
        """The first planned time later than `moment`; both in UTC."""
        return next(planned for planned in self._around(moment) if planned > moment)

    def latest(self, moment: datetime) -> datetime:
        """The last planned time that is not later than `moment`; both in UTC."""
        return max(planned for planned in self._around(moment) if planned <= moment)

    def between(self, after: datetime, before: datetime) -> int:
        """How many planned times lie between the two, both left out; counted up to COUNTED."""
        count = sum(after < planned < before for planned in self._around(after, before))
        return min(count, COUNTED)


@dataclass(frozen=True)
class Due:
    """The planned time to run for now; `missed` earlier ones are made up for by this one run."""

    planned_at: datetime
    missed: int


def due(cron: Cron, last_planned: datetime, now: datetime) -> Due | None:
    """What to run now, or None.

    After an outage the newest planned time alone is caught up, once. When the clock was set back by less
    than the schedule's pause, nothing runs until it passes `last_planned` again. A `last_planned` further in
    the future was written under a wrong clock: it does not hold the plan up.
    """
    latest = cron.latest(now)
    if last_planned > now and last_planned > cron.after(now):
        return Due(latest, 0)
    if latest <= last_planned:
        return None
    return Due(latest, cron.between(last_planned, latest))


def overdue(newest: datetime | None, target_age: timedelta, now: datetime, since: datetime) -> bool:
    """True when the newest good set is older than allowed; without any, `since` (the plan's birth) counts."""
    return now - (newest or since) > target_age
