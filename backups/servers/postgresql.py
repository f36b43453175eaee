"""A private PostgreSQL server from the installed binaries: for the proof, for tests, for the demonstration.

It listens on loopback and on a socket of its own, asks for a password that nobody else knows, and does nothing
on its own: archiving, replication and subscriptions are off. `alone`, for what is not trusted, it has the socket
only and is confined (backups.servers.confine). PostgreSQL refuses to run as root, so root
starts it as the user `postgres`, in a directory that this user may reach (a home of mode 0700 is none).
"""

import os
import pwd
import re
import secrets as randomness
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from backups.servers.confine import UNCONFINED, Confinement, confined, confinement
from drcenter.errors import OperationFailed
from drcenter.process import Child, Command, run, start

# Not `postgres`: a source's own role of that name, with its own rights, has to be restorable here.
ADMINISTRATOR = "drcenter_scratch"
SYSTEM_USER = "postgres"
INSTALLATIONS = Path("/usr/lib/postgresql")
REACHABLE = Path("/var/tmp")  # noqa: S108 - a directory of mode 0700 is made in it
PREFIX = "drcenter-pg-"
SECONDS_TO_START = 60
SECONDS_TO_STOP = 60
# A socket's path may have 107 bytes; the server adds "/.s.PGSQL.65535.lock" to the directory.
LONGEST_SOCKET_DIRECTORY = 80

# Nothing that leaves the machine or acts on its own (DESIGN.md §5, 6b).
ALONE = {
    "archive_mode": "off", "max_wal_senders": "0", "max_logical_replication_workers": "0",
    "shared_preload_libraries": "", "primary_conninfo": "", "ssl": "off",
}  # fmt: skip
# A scratch place is thrown away: what it loses in a crash, nobody misses.
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "wal_level": "minimal"}
# Shared memory in files of its own directory: it may write nowhere else.
CONFINED = {"listen_addresses": "", "dynamic_shared_memory_type": "mmap"}
COMMON = {
    "timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C", "max_connections": "40",
    # One transaction restores the whole database, and locks each of its objects.
    "max_locks_per_transaction": "4096",
}  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """The server binaries of one major version."""

    major: int
    binaries: Path


@dataclass(frozen=True)
class Server:
    """A running private server; `administrator` is its superuser. `host` is the socket's directory if it is alone."""

    port: int
    directory: Path
    sockets: Path
    major: int
    pid: int
    host: str = "127.0.0.1"
    administrator: str = ADMINISTRATOR
    confinement: Confinement = UNCONFINED

    @property
    def password(self) -> str:
        """The reference to the administrator's password."""
        return f"file:{self.directory / 'password'}"

    def options(self, database: str) -> dict[str, Any]:
        """What the engine `postgresql` needs to work in `database` here, as the administrator."""
        return {
            "host": self.host, "port": self.port, "user": self.administrator, "password": self.password,
            "database": database, "sslmode": "disable", "url": "",
        }  # fmt: skip

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """A connection of the administrator that commits each statement."""
        password = (self.directory / "password").read_text()
        return psycopg.connect(
            host=self.host, port=self.port, user=self.administrator, password=password,
            dbname=database, sslmode="disable", connect_timeout=10, autocommit=True,
        )  # fmt: skip


def installed() -> list[Installation]:
    """The installed servers, newest first: Debian's directories, and what PATH finds."""
    found = {
        int(directory.name): Installation(int(directory.name), directory / "bin")
        for directory in INSTALLATIONS.glob("*")
        if directory.name.isdigit() and (directory / "bin" / "postgres").exists()
    }
    if path := shutil.which("postgres"):
        major = _major(run(Command((path, "--version"))).stdout.decode())
        found.setdefault(major, Installation(major, Path(path).resolve().parent))
    return sorted(found.values(), key=lambda one: one.major, reverse=True)


def _major(text: str) -> int:
    match = re.search(r"\) (\d+)", text)
    return int(match.group(1)) if match else 0


def find_installation(major: int | None = None) -> Installation:
    """The newest installation, or that of `major`. Raises OperationFailed that names the package."""
    everything = installed()
    for one in everything:
        if major in (None, one.major):
            return one
    here = ", ".join(str(one.major) for one in everything) or "none"
    wanted = "No PostgreSQL server" if major is None else f"No PostgreSQL server of version {major}"
    package = "postgresql" if major is None else f"postgresql-{major}"
    raise OperationFailed(
        f"{wanted} is installed here (installed: {here}).",
        f"Install it, it need not run: apt-get install {package}",
        permanent=True,
    )


@contextmanager
def private_server(
    *,
    major: int | None = None,
    parent: Path | None = None,
    directory: Path | None = None,
    settings: Mapping[str, str] | None = None,
    alone: bool = False,
) -> Iterator[Server]:
    """A server of our own, stopped when the context ends.

    `alone`: reached by its socket only, and confined as far as this machine lets us; `confinement` says how far.

    Without `directory` it is a scratch: in a new directory below `parent` (root: below /var/tmp), without
    fsync, and removed at the end. With `directory` it keeps its data there durably, and starts again from
    them the next time. Raises OperationFailed with the reason.
    """
    installation = find_installation(major)
    place = directory or scratch_directory(parent)
    try:
        _initialise(installation, place)
        chosen = COMMON | ALONE | ({} if directory else FORGETFUL) | dict(settings or {})
        with _running(installation, place, chosen, hasty=directory is None, alone=alone) as server:
            yield server
    finally:
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)


def system_user() -> str | None:
    """Whom the server runs as, if not as ourselves. Raises OperationFailed if root has nobody to be."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise OperationFailed(
            f"PostgreSQL does not run as root, and there is no user {SYSTEM_USER}.",
            "Install Debian's package postgresql, or run the worker as another user.",
            permanent=True,
        ) from None
    return SYSTEM_USER


def scratch_directory(parent: Path | None) -> Path:
    place = REACHABLE if parent is None or os.geteuid() == 0 else parent
    sweep(place)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (directory / "owner").write_text(f"{os.getpid()} {_started(os.getpid())}")
    return directory


def sweep(place: Path) -> list[Path]:
    """Remove the scratch directories below `place` whose processes were killed; they hold restored data."""
    swept = []
    for directory in place.glob(f"{PREFIX}*"):
        try:
            pid, born = (directory / "owner").read_text().split()
        except (OSError, ValueError):
            continue
        if _started(int(pid)) != born:
            shutil.rmtree(directory, ignore_errors=True)
            swept.append(directory)
    return swept


def _started(pid: int) -> str:
    """When the process started, in ticks since the machine did (proc(5)); empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _initialise(installation: Installation, place: Path) -> None:
    """Make the data directory, unless `place` holds one. Raises OperationFailed for another version's."""
    version = place / "data" / "PG_VERSION"
    if version.exists():
        if version.read_text().strip() != str(installation.major):
            raise OperationFailed(
                f"{place} holds data of PostgreSQL {version.read_text().strip()}, not {installation.major}.",
                "Remove the directory, or ask for that version.",
                permanent=True,
            )
        return
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = place / "password"
    password.touch(mode=0o600)
    password.write_text(randomness.token_urlsafe(24))
    user = system_user()
    if user is not None:
        shutil.chown(place, user)
        shutil.chown(password, user)
    run(_initialisation(installation, place, user), timeout=120)


def _initialisation(installation: Installation, place: Path, user: str | None) -> Command:
    # The encoding is named, since a bare environment gives SQL_ASCII.
    argv = (
        str(installation.binaries / "initdb"), f"--pgdata={place / 'data'}", f"--username={ADMINISTRATOR}",
        f"--pwfile={place / 'password'}", "--auth=scram-sha-256", "--encoding=UTF8", f"--locale={_locale()}",
        "--no-sync", "--no-instructions",
    )  # fmt: skip
    return Command(argv, user=user, directory=str(place))


def _locale() -> str:
    """C.UTF-8 where the machine has it (it knows upper and lower case of every letter), or C."""
    import locale

    before = locale.setlocale(locale.LC_CTYPE)
    try:
        return locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


@contextmanager
def _running(
    installation: Installation, place: Path, settings: Mapping[str, str], *, hasty: bool, alone: bool
) -> Iterator[Server]:
    sockets = socket_directory(place)
    try:
        for attempt in (1, 2, 3):
            port = free_port()
            host = str(sockets) if alone else "127.0.0.1"
            with start(server_command(installation, place, sockets, port, settings, alone=alone)) as child:
                server = Server(port, place, sockets, installation.major, child.pid, host)
                if not _ready(server, child):
                    if attempt < 3:
                        continue  # Somebody else took the port in between: another one.
                    raise OperationFailed(f"The private PostgreSQL server did not start: {child.stderr}")
                if alone:
                    server = replace(server, confinement=confinement(place / "confinement"))
                try:
                    yield server
                finally:
                    stop(child, hasty=hasty)
                return
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def socket_directory(place: Path) -> Path:
    short = len(str(place)) < LONGEST_SOCKET_DIRECTORY
    directory = Path(tempfile.mkdtemp(prefix="s", dir=place if short else None))
    if (user := system_user()) is not None:
        shutil.chown(directory, user)
    return directory


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def server_command(  # noqa: PLR0913 - one call
    installation: Installation,
    place: Path,
    sockets: Path,
    port: int,
    settings: Mapping[str, str],
    *,
    alone: bool,
) -> Command:
    everything = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(sockets),
        "logging_collector": "off", "log_destination": "stderr",
    } | dict(settings) | (CONFINED if alone else {})  # fmt: skip
    binary = installation.binaries / "postgres"
    argv = [str(binary), "-D", str(place / "data")]
    for name, value in everything.items():
        argv += ["-c", f"{name}={value}"]
    if alone:
        argv = list(
            confined(
                argv, own=(place, sockets), program=binary, report=place / "confinement", user=system_user()
            )
        )
        return Command(tuple(argv), directory=str(place))
    return Command(tuple(argv), user=system_user(), directory=str(place))


def _ready(server: Server, child: Child) -> bool:
    """Wait until it answers; False if it ended, for example because the port was taken."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if child.code is not None:
            child.wait()
            return False
        try:
            server.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.03)
        else:
            return child.code is None
    return False


def stop(child: Child, *, hasty: bool) -> None:
    """Fast shutdown (SIGINT), or for what is thrown away the immediate one (SIGQUIT); by pid, postgres(1)."""
    if child.code is None:
        os.kill(child.pid, signal.SIGQUIT if hasty else signal.SIGINT)
    child.wait(SECONDS_TO_STOP)
