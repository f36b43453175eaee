"""Which points there are (pure).

The first thirteen are those of the recovery guide that the product comes from; the others deal by name with what
happened between the moment that was restored and now, which the data do not know any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop


@dataclass(frozen=True)
class Point:
    """`title` and `how` are in English, marked for translation; `how` may name the window: %(since)s, %(until)s."""

    key: str
    title: str
    how: str


AFTER_RESTORE: Sequence[Point] = (
    Point("website", gettext_noop("The website loads"),
          gettext_noop("Open it as a visitor, without being signed in.")),
    Point("admin", gettext_noop("The admin panel can be reached"),
          gettext_noop("Sign in, and open a list.")),
    Point("database", gettext_noop("The database is connected"),
          gettext_noop("Open a page that shows data of today's business.")),
    Point("uploads", gettext_noop("Uploads of files work"),
          gettext_noop("Upload a small file, and open it again.")),
    Point("calls", gettext_noop("Calls of the voice service arrive"),
          gettext_noop("Make a test call, and find it in the application.")),
    Point("calendar", gettext_noop("The calendar service shows free times"),
          gettext_noop("Ask for a free time, and compare it with the service's own page.")),
    Point("workers", gettext_noop("The queue workers run"),
          gettext_noop("Look at the list of processes, or at supervisor.")),
    Point("cron", gettext_noop("The scheduled commands are active"),
          gettext_noop("crontab -l of the application's user has schedule:run.")),
    Point("certificate", gettext_noop("The TLS certificate is valid"),
          gettext_noop("Look at it in the browser: name and last day.")),
    Point("redis", gettext_noop("Redis is connected"),
          gettext_noop("redis-cli ping, with the application's own settings.")),
    Point("mail", gettext_noop("Mails are sent"),
          gettext_noop("Have one sent to yourself, and wait until it is there.")),
    Point("logs", gettext_noop("Logs are written"),
          gettext_noop("Open a page, and look whether the log grows.")),
    Point("jobs", gettext_noop("Background jobs are done"),
          gettext_noop("Start one that you recognise, and wait for its effect.")),
)  # fmt: skip
AFTER_REWINDING: Sequence[Point] = (
    Point("queued", gettext_noop("Queued jobs and caches from after the restored moment are gone"),
          gettext_noop("A queue or a cache outside of the database (Redis) still knows %(since)s to %(until)s: empty it by name.")),
    Point("twice", gettext_noop("Nothing goes out twice"),
          gettext_noop("Mails, reminders and charges sent between %(since)s and %(until)s are not in the data any more: compare with the mail and payment services before their jobs run again.")),
    Point("erasures", gettext_noop("Erasures are repeated"),
          gettext_noop("Who was erased between %(since)s and %(until)s is back: repeat it from the list of requests (GDPR, article 17).")),
    Point("webhooks", gettext_noop("Webhooks are replayed"),
          gettext_noop("What services sent between %(since)s and %(until)s is lost: have it sent again, or fetch it.")),
    Point("services", gettext_noop("External services are compared"),
          gettext_noop("Bookings and calls made there between %(since)s and %(until)s exist there alone: fetch them.")),
    Point("fenced", gettext_noop("The old primary is fenced off"),
          gettext_noop("If this is another server than before: the old one must not take writes, nor come up by itself.")),
)  # fmt: skip
POINTS = (*AFTER_RESTORE, *AFTER_REWINDING)
BY_KEY = {point.key: point for point in POINTS}
REWINDING = frozenset(point.key for point in AFTER_REWINDING)


def title(key: str) -> str:
    """In the language of the reader; the key for one that an older version knew."""
    return _(BY_KEY[key].title) if key in BY_KEY else key


def how(key: str, since: datetime | None, until: datetime | None) -> str:
    """What a person looks at, with the window that the data do not know, as "2026-01-31 14:00 UTC"."""
    if key not in BY_KEY:
        return ""
    window = {"since": _shown(since), "until": _shown(until)}
    return _(BY_KEY[key].how) % window if key in REWINDING else _(BY_KEY[key].how)


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "?"
