"""Sizes, times and durations in words, in the language of the reader."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, get_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from drcenter import sizes

NOTHING = "–"


def size(count: int | None) -> str:
    """Bytes as a person says them: 1.2 GiB."""
    return NOTHING if count is None else sizes.size(count)


def duration(seconds: float | None) -> str:
    """Two units at most: 8 s, 3 min 12 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return NOTHING
    if 0 < seconds < 0.05:
        return _("under 0.1 s")
    if seconds < 10:
        return _("%(seconds)s s") % {
            "seconds": number_format(round(seconds, 1)).removesuffix(get_format("DECIMAL_SEPARATOR") + "0")
        }
    whole = round(seconds)
    for limit, large, small, sentence in (
        (3600, 60, 1, _("%(large)d min %(small)d s")),
        (86400, 3600, 60, _("%(large)d h %(small)d min")),
        (None, 86400, 3600, _("%(large)d d %(small)d h")),
    ):
        if whole < 60:
            return _("%(seconds)s s") % {"seconds": whole}
        if limit is None or whole < limit:
            return sentence % {"large": whole // large, "small": whole % large // small}
    return NOTHING


def about(seconds: float) -> str:
    """A duration that was measured once, and will be another one next time."""
    return _("under a second") if seconds < 1 else _("about %(time)s") % {"time": duration(seconds)}


def ago(moment: datetime | None) -> str:
    """How long ago, in one or two units; "just now" for less than a minute."""
    if moment is None:
        return _("never")
    if (timezone.now() - moment).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


def when(moment: datetime | None) -> SafeString | str:
    """Date and time in the active zone, with its name in the machine-readable part."""
    if moment is None:
        return NOTHING
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}",
        date_format(local, "DATETIME_FORMAT"),
    )


def when_and_ago(moment: datetime | None) -> SafeString | str:
    return NOTHING if moment is None else format_html("{} ({})", when(moment), ago(moment))


def yes_or_no(value: Any) -> str:
    return _("yes") if value else _("no")
