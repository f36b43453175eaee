"""The reasons and doubts of retention in the language of the reader."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise, lazystr
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backups.keep.doubts import Doubt, Found
from backups.keep.retention import Decision, Reason, Why
from backups.models import Level
from drcenter import sizes

REASONS = {
    Why.LAST: gettext_noop("one of the newest %(what)s"),
    Why.DAY: gettext_noop("stands for %(what)s"),
    Why.WEEK: gettext_noop("stands for week %(what)s"),
    Why.MONTH: gettext_noop("stands for month %(what)s"),
    Why.YEAR: gettext_noop("stands for year %(what)s"),
    Why.AGE: gettext_noop("younger than %(what)s days"),
    Why.MINIMUM: gettext_noop("one of at least %(what)s"),
    Why.BEST: gettext_noop("newest %(what)s"),
    Why.PINNED: gettext_noop("pinned: %(what)s"),
    Why.BUSY: gettext_noop("%(what)s"),
    Why.NEEDED: gettext_noop("the set of %(what)s needs it"),
    Why.FUTURE: gettext_noop("from the future"),
    Why.SAFETY: gettext_noop("taken before a restore, less than %(what)s days ago"),
    Why.DAMAGED: gettext_noop("damaged less than %(what)s days ago: it may still serve"),
    Why.EVERYTHING: gettext_noop("everything is kept"),
    Why.DAY_OF_OTHER: gettext_noop("another one stands for %(what)s"),
    Why.WEEK_OF_OTHER: gettext_noop("another one stands for week %(what)s"),
    Why.MONTH_OF_OTHER: gettext_noop("another one stands for month %(what)s"),
    Why.YEAR_OF_OTHER: gettext_noop("another one stands for year %(what)s"),
    Why.BEYOND: gettext_noop("no rule reaches back so far"),
}
DOUBTS = {
    Doubt.FUTURE: gettext_noop("A set is from the future (%(newest)s): the clock has been wrong, or is now."),
    Doubt.BACK: gettext_noop("The clock says %(now)s, which is before the last time that sets were removed."),
    Doubt.MISSED: gettext_noop(
        "%(count)s planned backups in a row are missing since %(newest)s: the clock jumped, or nothing runs any more."
    ),
    Doubt.DAMAGED: gettext_noop("Too many damaged sets: %(count)s of %(of)s."),
    Doubt.LEVEL: gettext_noop(
        "%(count)s of the newest %(of)s sets did not reach the plan's level, which older ones had."
    ),
    Doubt.SIZE: gettext_noop("The newest set has only %(size)s; the ones before it had %(usual)s."),
    Doubt.LISTING: gettext_noop(
        "The destination %(destination)s lists %(listed)s sets; there should be %(expected)s."
    ),
    Doubt.SHARE: gettext_noop("%(count)s of %(of)s sets would be removed at once."),
}


def reason(one: Reason) -> str:
    what = one.what
    if one.why in (Why.DAY, Why.DAY_OF_OTHER):
        day = date.fromisoformat(what)
        what = f"{date_format(day, 'D')}, {date_format(day, 'DATE_FORMAT')}"
    elif one.why in (Why.MONTH, Why.MONTH_OF_OTHER):
        what = date_format(date.fromisoformat(f"{what}-01"), "F Y")
    elif one.why is Why.BEST:
        what = str(Level(what).label) if what in Level.values else _("one")
    return _(REASONS[one.why]) % {"what": what}


def reasons(decision: Decision) -> str:
    return "; ".join(reason(one) for one in decision.reasons)


def stored(found: Iterable[Found]) -> list[dict[str, Any]]:
    """As a row keeps them."""
    return [
        {"doubt": one.doubt.value, "values": {k: _plain(v) for k, v in one.values.items()}} for one in found
    ]


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def doubt(row: Mapping[str, Any]) -> str:
    """The sentence of a reason that a row keeps."""
    if "text" in row:
        return _(str(row["text"]))
    values = dict(row.get("values", {}))
    for name in ("size", "usual"):
        if name in values:
            values[name] = sizes.size(values[name])
    for name in ("newest", "now", "before"):
        if name in values:
            moment = timezone.localtime(datetime.fromisoformat(values[name]))
            values[name] = date_format(moment, "SHORT_DATETIME_FORMAT")
    return _(DOUBTS[Doubt(row["doubt"])]) % values


def doubts(rows: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(map(doubt, rows))


def told(rows: list[dict[str, Any]]) -> Promise:
    """For `tell`: said in each channel's language."""
    return lazystr(_Told(rows))


class _Told:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def __str__(self) -> str:
        return doubts(self._rows)
