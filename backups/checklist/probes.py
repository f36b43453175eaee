"""Measures what can be measured after a restore. Nothing is changed, but for a file that comes and goes."""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from backups import dotenv
from backups.checklist import readings
from backups.models import Recovery, Source
from drcenter.errors import OperationFailed
from drcenter.secrets import redact
from drcenter.systems.commands import command_for, printed
from drcenter.systems.models import System

# Seconds for one look at a server.
PATIENCE = 10.0
# Days below which a certificate is not called good.
FEW_DAYS = 7
# Tables of Laravel in which background jobs wait, and in which those that failed are kept.
WAITING, FAILED = "jobs", "failed_jobs"


@dataclass(frozen=True)
class Reading:
    """`good` None: a person has to look; `text` says what was seen."""

    good: bool | None
    text: str


Probe = Callable[[Recovery], Reading]


def website(recovery: Recovery) -> Reading:
    return _page(recovery.copy.set.system.address)


def admin(recovery: Recovery) -> Reading:
    address = recovery.copy.set.system.address
    return _page(urljoin(f"{address.rstrip('/')}/", "admin")) if address else _no_address()


def _page(address: str) -> Reading:
    """Good with a status below 400: a page, or the way to a login."""
    import requests

    if not address:
        return _no_address()
    began = time.monotonic()
    try:
        with requests.get(address, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return Reading(False, readings.NO_ANSWER % {"address": address, "error": type(error).__name__})
    told = readings.STATUS % {
        "address": address, "status": status, "seconds": f"{time.monotonic() - began:.2f}"}  # fmt: skip
    return Reading(status < 400, told)


def _no_address() -> Reading:
    return Reading(None, readings.NO_ADDRESS)


def database(recovery: Recovery) -> Reading:
    """Every database of the recovery answers, and holds rows in its critical tables."""
    seen = []
    for source in _databases(recovery):
        engine = source.build()
        try:
            engine.inspect()
            counts = engine.counts(source.options.get("critical_tables") or [])
        except OperationFailed as error:
            return Reading(False, f"{source.name}: {error.message}")
        if empty := [name for name, rows in counts.items() if not rows]:
            return Reading(False, readings.NO_ROWS % {"source": source.name, "tables": ", ".join(empty)})
        counted = ", ".join(f"{name} {rows}" for name, rows in counts.items())
        seen.append(f"{source.name}: {counted}" if counted else readings.ANSWERS % {"source": source.name})
    return Reading(True, "; ".join(seen)) if seen else Reading(None, readings.NO_DATABASE)


def uploads(recovery: Recovery) -> Reading:
    """The application's user can write where uploads go, and what is public leads there."""
    system = recovery.copy.set.system
    if not system.commands_directory:
        return _no_directory()
    place = "storage/app"
    if not os.path.isdir(os.path.join(system.commands_directory, place)):
        return Reading(None, readings.NO_SUCH_DIRECTORY % {"path": place})
    name = f"{place}/.drc-check-{recovery.pk}"
    try:
        for words in (("touch", name), ("rm", "-f", name)):
            printed(command_for(system, words), patience=PATIENCE)
    except OperationFailed as error:
        return Reading(False, error.message)
    link = Path(system.commands_directory, "public/storage")
    if link.is_symlink() and not link.exists():
        return Reading(False, readings.LINK_BROKEN)
    return Reading(True, readings.WRITTEN % {"path": place})


def workers(recovery: Recovery) -> Reading:
    found = [
        line
        for line in _commands()
        if "artisan" in line and any(word in line for word in ("queue:work", "queue:listen", "horizon"))
    ]
    if not found:
        return Reading(False, readings.NO_WORKER)
    return Reading(True, readings.WORKERS % {"count": len(found), "first": found[0][:100]})


def cron(recovery: Recovery) -> Reading:
    system = recovery.copy.set.system
    if not any(line.split(" ")[0].rpartition("/")[2] in {"cron", "crond", "cron:"} for line in _commands()):
        return Reading(False, readings.NO_CRON)
    words = ["crontab", "-l"]
    try:
        printed_lines = printed(command_for(system, words), patience=PATIENCE)
    except OperationFailed as error:
        return Reading(None, error.message)
    lines = [
        line
        for line in printed_lines.splitlines()
        if "schedule:run" in line and not line.lstrip().startswith("#")
    ]
    if not lines:
        return Reading(None, readings.NO_SCHEDULE)
    return Reading(True, lines[0][:200])


def _commands() -> Iterator[str]:
    """The command lines of what runs on this machine."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                yield (
                    directory.joinpath("cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode(errors="replace")
                    .strip()
                )
            except OSError:
                continue


def certificate(recovery: Recovery) -> Reading:
    """As a visitor's browser would look at it: the chain, the name, and until when."""
    parts = urlsplit(recovery.copy.set.system.address)
    if not parts.hostname:
        return _no_address()
    if parts.scheme != "https":
        return Reading(None, readings.NO_TLS)
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), PATIENCE) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            shown = secure.getpeercert() or {}
    except (OSError, ssl.SSLError) as error:
        return Reading(False, f"{parts.hostname}: {error}")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    days = (until - datetime.now(UTC)).days
    return Reading(days >= FEW_DAYS, readings.VALID_UNTIL % {"day": f"{until:%Y-%m-%d}", "days": days})


def redis(recovery: Recovery) -> Reading:
    """By the engine of its source, or by the application's own settings."""
    sources = [one for one in recovery.copy.set.system.sources.all() if one.engine == "redis"]
    if not sources:
        return Reading(None, readings.NO_REDIS)
    try:
        for source in sources:
            source.build().inspect()
    except OperationFailed as error:
        return Reading(False, error.message)
    return Reading(True, readings.ANSWERS % {"source": sources[0].name})


def mail(recovery: Recovery) -> Reading:
    """The mail server of the application greets; whether mails arrive a person sees."""
    settings = _environment(recovery.copy.set.system)
    host, port = settings.get("MAIL_HOST", ""), settings.get("MAIL_PORT", "") or "25"
    if not host or not port.isdigit():
        return Reading(None, readings.NO_MAIL_SERVER)
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            greeting = b"" if port == "465" else connection.recv(200)
    except OSError as error:
        return Reading(False, readings.NO_GREETING % {"host": host, "port": port, "error": error})
    told = redact(greeting.decode(errors="replace").strip()[:100])
    return Reading(None, readings.GREETING % {
        "host": host, "port": port, "greeting": told})  # fmt: skip


def logs(recovery: Recovery) -> Reading:
    """Something was written since the restore ended."""
    system = recovery.copy.set.system
    if not system.commands_directory:
        return _no_directory()
    files = [one for one in Path(system.commands_directory, "storage/logs").glob("*.log") if one.is_file()]
    if not files or recovery.finished_at is None:
        return Reading(None, readings.NO_LOG)
    newest = max(files, key=lambda one: one.stat().st_mtime)
    written = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
    told = readings.LAST_WRITTEN % {"name": newest.name, "time": f"{written:%H:%M:%S}"}
    # A quiet application writes nothing: that is no failure.
    return Reading(True if written >= recovery.finished_at else None, told)


def jobs(recovery: Recovery) -> Reading:
    """How many wait and failed, where Laravel keeps them in the database; whether they are done a person sees."""
    for source in _databases(recovery):
        try:
            counts = source.build().counts([WAITING, FAILED])
        except OperationFailed:
            continue
        if WAITING in counts:
            told = readings.QUEUE % {
                "waiting": counts[WAITING], "failed": counts.get(FAILED, 0)}  # fmt: skip
            return Reading(None, told)
    return Reading(None, readings.NO_QUEUE)


def _databases(recovery: Recovery) -> list[Source]:
    return [one for one in recovery.sources.all() if one.tier == "database" and not one.build().for_reading]


def _no_directory() -> Reading:
    return Reading(None, readings.NO_DIRECTORY)


def _environment(system: System) -> Mapping[str, str]:
    """The application's `.env`, as far as it can be read."""
    try:
        return dotenv.parse(Path(system.commands_directory, ".env").read_bytes()).values
    except OSError:
        return {}


PROBES: Mapping[str, Probe] = {
    "website": website, "admin": admin, "database": database, "uploads": uploads, "workers": workers, "cron": cron,
    "certificate": certificate, "redis": redis, "mail": mail, "logs": logs, "jobs": jobs,
}  # fmt: skip
