"""The environment of a restored application in a drill (pure).

A restored `.env` holds production's keys, and an application uses them by itself: it sends queued mails, asks its
licence server, writes into the real database. It cannot reach any of them in a drill; this is the second line: every
variable of its `.env` that leads out, or lets in, is overridden by one that does not.
"""

import re
from collections.abc import Iterable, Mapping

# What the restored data need, or what says nothing of others.
KEPT = {
    "APP_KEY", "APP_PREVIOUS_KEYS", "APP_CIPHER", "APP_NAME", "APP_ENV", "APP_DEBUG", "APP_TIMEZONE", "APP_LOCALE",
    "APP_FALLBACK_LOCALE", "DB_CHARSET", "DB_COLLATION", "DB_PREFIX", "DB_FOREIGN_KEYS", "BCRYPT_ROUNDS", "HASH_DRIVER",
}  # fmt: skip
# What an application does by itself goes nowhere: mails into a list, jobs and events into nothing, no scheduler.
FIXED = {
    "MAIL_MAILER": "array", "MAIL_DRIVER": "array", "QUEUE_CONNECTION": "null", "QUEUE_DRIVER": "null",
    "BROADCAST_CONNECTION": "null", "BROADCAST_DRIVER": "null", "CACHE_DRIVER": "file", "CACHE_STORE": "file",
    "SESSION_DRIVER": "array", "FILESYSTEM_DRIVER": "local", "FILESYSTEM_DISK": "local", "SCOUT_DRIVER": "null",
    "TELESCOPE_ENABLED": "false", "PULSE_ENABLED": "false", "NIGHTWATCH_ENABLED": "false", "LOG_CHANNEL": "stderr",
    "LOG_STACK": "stderr", "APP_URL": "http://127.0.0.1", "ASSET_URL": "", "DATABASE_URL": "", "DB_URL": "",
    "DB_READ_HOST": "", "DB_WRITE_HOST": "",
    # Cached settings hold the values of production, and would win over all of this.
    "APP_CONFIG_CACHE": "/tmp/drill-config.php", "APP_ROUTES_CACHE": "/tmp/drill-routes.php",
    "APP_EVENTS_CACHE": "/tmp/drill-events.php", "APP_SERVICES_CACHE": "/tmp/drill-services.php",
    "APP_PACKAGES_CACHE": "/tmp/drill-packages.php", "VIEW_COMPILED_PATH": "/tmp",
}  # fmt: skip
LEADS_OUT = re.compile(r"HOST|URL|URI|ENDPOINT|SERVER|DSN|WEBHOOK|DOMAIN|CLUSTER|SOCKET|PROXY")
LETS_IN = re.compile(
    r"KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|AUTH|USER|ACCOUNT|SID|BUCKET|CERT|LICEN[CS]E|SALT"
)
NOWHERE, NOBODY = "127.0.0.1", "drill"


def overrides(names: Iterable[str], database: Mapping[str, str]) -> dict[str, str]:
    """What the application is started with, over its own `.env` with these `names`. `database`: how it reaches the
    restored one; without any, its DB_ variables lead nowhere."""
    found = {}
    for name in names:
        if name in KEPT:
            continue
        upper = name.upper()
        if LEADS_OUT.search(upper):
            found[name] = NOWHERE
        elif LETS_IN.search(upper):
            found[name] = NOBODY
    nowhere = {"DB_HOST": NOWHERE, "DB_PORT": "9", "DB_USERNAME": NOBODY, "DB_PASSWORD": NOBODY}
    return found | nowhere | FIXED | dict(database)
