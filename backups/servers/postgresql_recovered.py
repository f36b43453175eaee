"""A private server over a data directory that was restored: it replays the log, and then answers.

What a base backup brings along must not come to life here: archiving, replication slots and subscriptions, settings
of postgresql.conf and of ALTER SYSTEM, libraries that are loaded at the start. So neither file is read: the server
gets a configuration of its own, is confined (backups.servers.confine), and lets in only who started it.
"""

import os
import pwd
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from backups.servers.confine import UNCONFINED, Confinement, confinement
from backups.servers.postgresql import (
    ALONE,
    COMMON,
    FORGETFUL,
    Installation,
    find_installation,
    server_command,
    socket_directory,
    stop,
    system_user,
)
from drcenter.errors import OperationFailed
from drcenter.process import Child, start

# Replaying the log of a large base backup takes its time; a server that ends by itself is noticed at once.
SECONDS_TO_RECOVER = 24 * 3600
AUTOMATIC = "postgresql.auto.conf"
OURS = "drcenter-configuration"
PORT = 5432
# Of the source, without which its log cannot be replayed: a prepared transaction needs a place.
CARRIED = (
    "max_prepared_transactions",
    "max_connections",
    "max_worker_processes",
    "max_locks_per_transaction",
)


@dataclass(frozen=True)
class Recovered:
    """A running server over `directory`; `user` is a superuser of the source, who signs in through the socket alone."""

    directory: Path
    sockets: Path
    user: str
    confinement: Confinement = UNCONFINED

    def options(self, database: str) -> dict[str, object]:
        """What the engine `postgresql` needs to work in `database` here."""
        return {
            "host": str(self.sockets), "port": PORT, "user": self.user, "password": "", "database": database,
            "sslmode": "disable", "url": "",
        }  # fmt: skip


@contextmanager
def recovered_server(
    place: Path,
    user: str,
    *,
    until: Mapping[str, str] | None = None,
    carried: Mapping[str, str] | None = None,
) -> Iterator[Recovered]:
    """A server over the data directory `place`/data, stopped when the context ends.

    The first time it replays the log in pg_wal: all of it, or as far as `until` says (recovery_target_...); then it
    writes. What it has it keeps. Raises OperationFailed with the server's last words.
    """
    directory = place / "data"
    installation = installation_of(directory)
    _configure(directory, place / OURS, user)
    settings = COMMON | ALONE | FORGETFUL | dict(carried or {}) | _own_files(place / OURS)
    if until and (directory / "backup_label").exists():
        (directory / "standby.signal").touch(mode=0o600)
        _give(directory / "standby.signal")
        settings |= {"recovery_target_action": "promote", "hot_standby": "off"} | dict(until)
    if installation.major >= 17:
        settings["event_triggers"] = "off"
    sockets = socket_directory(place)
    try:
        with start(server_command(installation, place, sockets, PORT, settings, alone=True)) as child:
            _wait(Recovered(directory, sockets, user), child)
            try:
                yield Recovered(directory, sockets, user, confinement(place / "confinement"))
            finally:
                stop(child, hasty=False)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def installation_of(directory: Path) -> Installation:
    """The installed server that a data directory is of. Raises OperationFailed that names the package."""
    version = directory / "PG_VERSION"
    text = version.read_text().strip() if version.is_file() and not version.is_symlink() else ""
    if not text.isdigit():
        raise OperationFailed(f"{directory} is no data directory of PostgreSQL.", permanent=True)
    return find_installation(int(text))


def _own_files(configuration: Path) -> dict[str, str]:
    return {
        "config_file": str(configuration / "postgresql.conf"), "hba_file": str(configuration / "pg_hba.conf"),
        "ident_file": str(configuration / "pg_ident.conf"), "external_pid_file": "",
    }  # fmt: skip


def _configure(directory: Path, configuration: Path, user: str) -> None:
    """Our own files beside the data. What ALTER SYSTEM had set is read in any case, and so laid aside."""
    automatic = directory / AUTOMATIC
    if automatic.exists() and automatic.stat().st_size:
        automatic.rename(directory / f"{AUTOMATIC}.source")
    automatic.touch(mode=0o600)
    _give(automatic)
    (directory / "recovery.signal").unlink(missing_ok=True)
    (directory / "standby.signal").unlink(missing_ok=True)
    configuration.mkdir(mode=0o700, exist_ok=True)
    _give(configuration)
    ourselves = pwd.getpwuid(os.geteuid()).pw_name
    quoted = '"' + user.replace('"', '""') + '"'
    for name, text in {
        "postgresql.conf": "",
        "pg_hba.conf": "local all all peer map=ours\n",
        "pg_ident.conf": f'ours "{ourselves}" {quoted}\n',
    }.items():
        (configuration / name).write_text(text)
        _give(configuration / name)


def _give(path: Path) -> None:
    if (owner := system_user()) is not None:
        shutil.chown(path, owner, pwd.getpwnam(owner).pw_gid)


def _wait(server: Recovered, child: Child) -> None:
    """Until it has recovered and writes. Raises OperationFailed when it ends before."""
    deadline = time.monotonic() + SECONDS_TO_RECOVER
    while time.monotonic() < deadline:
        if child.code is not None:
            child.wait()
            raise OperationFailed(
                f"The private PostgreSQL server did not recover: {child.stderr or 'no message'}"
            )
        if _writes(server):
            return
        time.sleep(0.05)
    raise OperationFailed("The private PostgreSQL server did not recover within a day.")


def _writes(server: Recovered) -> bool:
    try:
        with psycopg.connect(
            host=str(server.sockets), port=PORT, user=server.user, dbname="template1", connect_timeout=10
        ) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    except psycopg.OperationalError as error:
        if "authentication" in str(error) or "does not exist" in str(error):
            raise OperationFailed(f"The private PostgreSQL server lets nobody in: {error}") from None
        return False
    return row is not None and not row[0]
