"""What of an application's machine belongs into its sets: configuration of the system, certificates, Redis, information;
and what of the application itself is more than its files: git state, and the metadata of its database."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from backups.dotenv import Environment
from backups.look.proposal import ProposedSource
from backups.models.plan import Tier
from drcenter.secrets import Secret

# What of /etc makes a web application run; what is not there is left out.
CONFIGURATION = (
    "nginx", "apache2", "php", "supervisor", "redis", "mysql", "postgresql", "systemd", "crontab", "cron.d", "cron.daily",
    "cron.hourly", "cron.weekly", "cron.monthly", "logrotate.d", "ufw", "fail2ban", "ssh", "hosts", "fstab", "environment",
)  # fmt: skip
# Keys of external services that applications of this kind use, by the prefix of their settings.
SERVICES = {
    "RETELL": "Retell", "CALCOM": "Cal.com", "VAPI": "Vapi", "TWILIO": "Twilio", "GOOGLE_CALENDAR": "Google Calendar",
    "STRIPE": "Stripe",
}  # fmt: skip
REDIS_USERS = ("CACHE_DRIVER", "CACHE_STORE", "QUEUE_CONNECTION", "SESSION_DRIVER", "BROADCAST_DRIVER")


@dataclass(frozen=True)
class Machine:
    """Where things are on this machine; tests name other places."""

    etc: Path = Path("/etc")
    crontabs: Path = Path("/var/spool/cron/crontabs")
    drc_read: Path = Path("/usr/local/sbin/drc-read")


def further(
    root: Path, environment: Environment, database: ProposedSource, machine: Machine
) -> list[ProposedSource]:
    """The sources that go beyond files and database, not looked at yet."""
    return [
        *_git(root),
        *_metadata(database),
        *_redis(environment),
        *_system(machine),
        *_certificates(machine),
        _information(),
    ]


def services(environment: Environment) -> str:
    """Names of the external services that the settings speak of; empty: of none."""
    found = [
        name
        for prefix, name in SERVICES.items()
        if any(key.startswith(prefix) and value for key, value in environment.values.items())
    ]
    return ", ".join(found)


def _git(root: Path) -> list[ProposedSource]:
    if not os.path.lexists(root / ".git"):
        return []
    reason = _("unpushed commits, stashes and what is in no commit would be lost with the machine")
    return [ProposedSource("git", "git", Tier.GIT, {"path": str(root)}, reason=reason)]


def _metadata(database: ProposedSource) -> list[ProposedSource]:
    if database.problem is not None or not database.engine:
        return []
    options = {name: value for name, value in database.options.items() if name != "critical_tables"}
    reason = _(
        "the schema alone, and the size of every table, to look things up without restoring the database"
    )
    return [
        ProposedSource(
            "metadata",
            f"{database.engine}_schema",
            Tier.METADATA,
            options,
            dict(database.secrets),
            reason=reason,
        )
    ]


def _redis(environment: Environment) -> list[ProposedSource]:
    users = [name for name in REDIS_USERS if environment.get(name) == "redis"]
    if not users:
        return []
    host, port = environment.get("REDIS_HOST") or "127.0.0.1", environment.get("REDIS_PORT")
    options = {
        "host": host,
        "port": int(port) if port.isdecimal() else 6379,
        "user": environment.get("REDIS_USERNAME"),
    }
    password = environment.get("REDIS_PASSWORD")
    secrets = {"password": Secret(password)} if password and password != "null" else {}  # noqa: S105 - Laravel's word
    reason = _("the application keeps its {what} there").format(what=", ".join(users))
    return [ProposedSource("redis", "redis", Tier.SYSTEM, options, secrets, reason=reason, of_machine=True)]


def _system(machine: Machine) -> list[ProposedSource]:
    names = [name for name in CONFIGURATION if os.path.lexists(machine.etc / name)]
    found = []
    if names:
        found.append(_configuration(machine, names))
    if machine.crontabs.is_dir():
        reason = _("what cron runs for root, www-data and other users")
        if os.access(machine.crontabs, os.R_OK | os.X_OK, effective_ids=True):
            found.append(_files("crontabs", machine.crontabs, Tier.SYSTEM, reason))
        else:
            found.append(_read_as_root("crontabs", machine, Tier.SYSTEM, reason))
    return found


def _configuration(machine: Machine, names: Sequence[str]) -> ProposedSource:
    """Without what this user may not read (host keys, passwords of maintenance accounts): with it, no set would ever
    be better than *stored*. It is told, and stands in the options of the source."""
    reason = _("how this machine runs the application: {names}").format(names=", ".join(names))
    source = _files("system-configuration", machine.etc, Tier.SYSTEM, reason, names)
    if closed := closed_below(machine.etc, names):
        source.reason += ". " + _("Left out, since this user may not read it: {paths}").format(
            paths=", ".join(closed)
        )
        source.options["exclude"] = [re.sub(r"([*?\[])", r"[\1]", path) for path in closed]
    return source


def closed_below(root: Path, names: Sequence[str]) -> list[str]:
    """What of `names` in `root` this user may not read, as paths relative to it; links are not followed."""
    closed = []
    waiting = [root / name for name in reversed(names)]
    while waiting:
        path = waiting.pop()
        if path.is_symlink():
            continue
        needed = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
        if not os.access(path, needed, effective_ids=True):
            closed.append(str(path.relative_to(root)))
        elif path.is_dir():
            waiting += sorted(path.iterdir(), reverse=True)
    return closed


def _certificates(machine: Machine) -> list[ProposedSource]:
    place = machine.etc / "letsencrypt"
    if not os.path.lexists(place):
        return []
    reason = _("keys and certificates of the web server, and when they expire")
    if not os.access(place / "live", os.R_OK | os.X_OK, effective_ids=True) and (place / "live").exists():
        return [_read_as_root("certificates", machine, Tier.CERTIFICATES, reason)]
    options = {"path": str(place)}
    return [
        ProposedSource(
            "certificates", "certificates", Tier.CERTIFICATES, options, reason=reason, of_machine=True
        )
    ]


def _information() -> ProposedSource:
    reason = _("packages, PHP modules, disks, users: what a person needs to build the machine again")
    return ProposedSource("information", "information", Tier.INFORMATION, {}, reason=reason, of_machine=True)


def _files(name: str, path: Path, tier: Tier, reason: str, only: Sequence[str] = ()) -> ProposedSource:
    options = {"path": str(path), **({"only": list(only)} if only else {})}
    return ProposedSource(name, "files", tier, options, reason=reason, of_machine=True)


def _read_as_root(name: str, machine: Machine, tier: Tier, reason: str) -> ProposedSource:
    """By the rule in docs/security.md: the workers' user may read exactly this as root."""
    argv = ["sudo", "-n", str(machine.drc_read), name]
    options = {"argv": argv, "part": name, "suffix": "tar", "smallest": 512}
    return ProposedSource(name, "command", tier, options, reason=reason, of_machine=True)
