"""What probes say: kept in English with the point, shown in the language of the reader."""

from django.utils.translation import gettext_noop

from drcenter.stored import shown

NO_ANSWER = gettext_noop("%(address)s: no answer (%(error)s)")
STATUS = gettext_noop("%(address)s: status %(status)s after %(seconds)s s")
NO_ADDRESS = gettext_noop("The system has no address: add it on its page, and it is asked.")
NO_ROWS = gettext_noop("%(source)s: no rows in %(tables)s")
ANSWERS = gettext_noop("%(source)s answers")
NO_DATABASE = gettext_noop("No database was restored.")
NO_SUCH_DIRECTORY = gettext_noop("There is no directory %(path)s.")
LINK_BROKEN = gettext_noop("public/storage leads nowhere: php artisan storage:link")
WRITTEN = gettext_noop("A file was written to %(path)s and removed.")
NO_WORKER = gettext_noop("No process runs queue:work, queue:listen or horizon on this machine.")
WORKERS = gettext_noop("%(count)s processes: %(first)s")
NO_CRON = gettext_noop("No cron runs on this machine.")
NO_SCHEDULE = gettext_noop("The crontab of the application's user has no schedule:run.")
NO_TLS = gettext_noop("The system's address has no TLS.")
VALID_UNTIL = gettext_noop("valid until %(day)s, %(days)s days")
NO_REDIS = gettext_noop("No Redis is among the sources.")
NO_MAIL_SERVER = gettext_noop("The application's .env names no mail server.")
NO_GREETING = gettext_noop("%(host)s:%(port)s: no answer (%(error)s)")
GREETING = gettext_noop("%(host)s:%(port)s answers: %(greeting)s. Send one mail, and tick.")
NO_LOG = gettext_noop("No log is there yet.")
LAST_WRITTEN = gettext_noop("%(name)s was last written at %(time)s UTC")
QUEUE = gettext_noop("%(waiting)s wait, %(failed)s have failed.")
NO_QUEUE = gettext_noop("No queue is in the database.")
NO_DIRECTORY = gettext_noop("The system has no directory of commands.")

SENTENCES = (
    NO_ANSWER,
    STATUS,
    NO_ADDRESS,
    NO_ROWS,
    ANSWERS,
    NO_DATABASE,
    NO_SUCH_DIRECTORY,
    LINK_BROKEN,
    WRITTEN,
    NO_WORKER,
    WORKERS,
    NO_CRON,
    NO_SCHEDULE,
    NO_TLS,
    VALID_UNTIL,
    NO_REDIS,
    NO_MAIL_SERVER,
    NO_GREETING,
    GREETING,
    NO_LOG,
    LAST_WRITTEN,
    QUEUE,
    NO_QUEUE,
    NO_DIRECTORY,
)


def told(text: str) -> str:
    """What a point holds, in the language of the reader; what a person wrote as it is."""
    return shown(text, SENTENCES)
