"""The moment that somebody wants back, as it is typed: on the clock of the system's place (pure).

A wall clock shows one hour twice in October and leaves one out in March. Which of the two is meant only a person
knows, so that is asked, never guessed.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed

WRITTEN = re.compile(
    r"^(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?$"
)
EXAMPLE = "2025-06-17 14:00:00"
TYPED = "%Y-%m-%d %H:%M:%S"


class Twice(OperationFailed):
    """The clock showed this time twice. `first` and `second` are the two moments, in UTC."""

    def __init__(self, typed: str, zone: ZoneInfo, first: datetime, second: datetime) -> None:
        offsets = [f"{moment.astimezone(zone):{TYPED}%z}" for moment in (first, second)]
        super().__init__(
            _("%(typed)s was there twice in %(zone)s: the clocks went back that night.")
            % {"typed": typed, "zone": zone.key},
            _("Say which: “%(first)s” is the earlier one, “%(second)s” the later one, an hour after it.")
            % {"first": offsets[0], "second": offsets[1]},
            permanent=True,
        )
        self.first, self.second = first, second


def read(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment in UTC. Raises OperationFailed for what is no time, was left out in March, or has not come yet;
    Twice for what was there twice. An offset behind the time ("+02:00", "Z") says it without any doubt."""
    found = WRITTEN.match(text.strip())
    if found is None:
        raise _refused(_("“%(text)s” is no time.") % {"text": text.strip()[:60]})
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micro = int((found[7] or "0").ljust(6, "0"))
    try:
        wall = datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001 - the zone comes below
    except ValueError:
        raise _refused(_("“%(text)s” is no time of the calendar.") % {"text": text.strip()[:60]}) from None
    moment = _with_offset(wall, found[8]) if found[8] else _in_zone(wall, zone, text.strip())
    if moment > now:
        raise OperationFailed(
            _("%(text)s lies in the future: now it is %(now)s in %(zone)s.")
            % {"text": text.strip(), "now": f"{now.astimezone(zone):{TYPED}}", "zone": zone.key},
            _("Only what has happened can be brought back."), permanent=True,
        )  # fmt: skip
    return moment


def _with_offset(wall: datetime, offset: str) -> datetime:
    if offset in {"Z", "UTC"}:
        return wall.replace(tzinfo=UTC)
    sign = -1 if offset[0] == "-" else 1
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    return (wall - sign * ahead).replace(tzinfo=UTC)


def _in_zone(wall: datetime, zone: ZoneInfo, text: str) -> datetime:
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first < second:
        raise Twice(text, zone, first, second)
    raise _refused(
        _("%(text)s was never there in %(zone)s: the clocks went forward that night.")
        % {"text": text, "zone": zone.key}
    )


def _refused(message: str) -> OperationFailed:
    return OperationFailed(message, _("Write it like %(example)s") % {"example": EXAMPLE}, permanent=True)
