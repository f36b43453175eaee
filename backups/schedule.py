"""What is due, and what is overdue (pure: the clock is an argument)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

# More than any zone moves its clocks by.
SHIFT = timedelta(hours=3)


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
        if len(expression.split()) != 5:
            raise InvalidCron("A schedule has five fields: minute, hour, day, month, weekday.")
        try:
            self._walk(datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001 - a wall clock has no zone
        except (CroniterBadCronError, CroniterBadDateError, ValueError, KeyError) as error:
            raise InvalidCron(f'"{expression}" is not a schedule that ever comes: {error}') from error

    def _walk(self, wall: datetime) -> croniter:
        return croniter(self.expression, wall, max_years_between_matches=8)

    def _placed(self, wall: datetime) -> list[datetime]:
        """The moments of a wall clock's time, in UTC: a schedule of every hour takes both of a doubled hour."""
        first = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
        second = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        every_hour = self.expression.split()[1] == "*"
        return [first, second] if every_hour and second > first else [first]

    def _around(self, moment: datetime) -> list[datetime]:
        """Planned times from a little before `moment` to a little after it, enough for one on either side."""
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        back, forth = self._walk(wall - SHIFT), self._walk(wall - SHIFT)
        times = self._placed(back.get_prev(datetime))
        while True:
            following = forth.get_next(datetime)
            times += self._placed(following)
            if following > wall + SHIFT:
                return sorted(set(times))

    def after(self, moment: datetime) -> datetime:
        """The first planned time later than `moment`; both in UTC."""
        return next(planned for planned in self._around(moment) if planned > moment)

    def latest(self, moment: datetime) -> datetime:
        """The last planned time that is not later than `moment`; both in UTC."""
        return max(planned for planned in self._around(moment) if planned <= moment)


@dataclass(frozen=True)
class Due:
    """The planned time to run for now; `missed` earlier ones are made up for by this one run."""

    planned_at: datetime
    missed: int


def due(cron: Cron, last_planned: datetime, now: datetime) -> Due | None:
    """What to run now, or None.

    After an outage the newest planned time alone is caught up, once. When the clock was set back, so that
    `last_planned` lies in the future, nothing runs until the clock passes it again.
    """
    latest = cron.latest(now)
    if latest <= last_planned:
        return None
    missed, moment = 0, cron.after(last_planned)
    while moment < latest and missed < 1000:
        missed, moment = missed + 1, cron.after(moment)
    return Due(latest, missed)


def overdue(newest: datetime | None, target_age: timedelta, now: datetime, since: datetime) -> bool:
    """True when the newest good set is older than allowed; without any, `since` (the plan's birth) counts."""
    return now - (newest or since) > target_age
