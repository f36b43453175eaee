"""A private MariaDB server: own data directory, own socket, a port on the loopback only.

It is where a set is proven, where the tests work, and what the demo shows. It never reads the
machine's configuration, listens to nobody else, starts no event, and reads and writes no files for SQL. `alone`,
for what is not trusted, it has its socket only and is confined (backups.servers.confine).
"""

import contextlib
import hashlib
import os
import pwd
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pymysql

from backups.leftovers import MARIADB, held_directory
from backups.servers.confine import UNCONFINED, Confinement, confined, confinement
from drcenter.errors import OperationFailed
from drcenter.process import DEVNULL, Child, Command, find, run, start
from drcenter.secrets import Secret

SERVICE_USER = "mysql"
ATTEMPTS = 3
READY_SECONDS = 60
STOP_SECONDS = 30
# sockaddr_un holds 108 bytes with the final zero (unix(7)).
LONGEST_SOCKET_PATH = 107
SETTINGS: Mapping[str, str] = {
    "event-scheduler": "OFF",
    "skip-name-resolve": "ON",
    "innodb-buffer-pool-size": "64M",
    "innodb-flush-log-at-trx-commit": "2",
    "max-allowed-packet": "1G",
    "net-write-timeout": "600",
    "local-infile": "OFF",
    "skip-slave-start": "ON",
}
# A scratch place is thrown away: what it loses in a crash, nobody misses.
FORGETFUL = {"innodb-flush-log-at-trx-commit": "0", "innodb-doublewrite": "OFF"}


@dataclass(frozen=True)
class Version:
    """`flavour` is "mariadb" or "mysql"; `series` is major.minor, the part that has to fit."""

    flavour: str
    number: str

    @property
    def series(self) -> str:
        return ".".join(self.number.split(".")[:2])

    def __str__(self) -> str:
        return f"{'MariaDB' if self.flavour == 'mariadb' else 'MySQL'} {self.number}"


@dataclass(frozen=True)
class Server:
    """A running private server, and how to reach it."""

    host: str
    port: int
    socket: str
    user: str
    password: Secret
    directory: Path
    pid: int
    confinement: Confinement = UNCONFINED

    def connect(self, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection of the server's root, through the socket."""
        return pymysql.connect(
            unix_socket=self.socket, user=self.user, password=self.password.reveal().encode(), database=database,
            charset="utf8mb4", autocommit=True,
        )  # fmt: skip


def parse_version(text: str) -> Version:
    """The version in what `--version` of a server or tool prints, or in `SELECT VERSION()`.

    Old clients print their own number before the release's: `Ver 10.19 Distrib 10.11.19-MariaDB`.
    """
    # Replication needed an old MariaDB to call itself 5.5.5 first.
    numbers = re.findall(r"\d+\.\d+\.\d+", text.removeprefix("5.5.5-"))
    flavour = "mariadb" if "mariadb" in text.lower() else "mysql"
    return Version(flavour, numbers[0] if numbers else "0.0.0")


def server_binary() -> str:
    """The installed server. Raises OperationFailed that names the package when there is none."""
    for tool in ("mariadbd", "mysqld"):
        with contextlib.suppress(OperationFailed):
            return find(tool)
    raise OperationFailed(
        "No MariaDB server is installed on this machine.",
        "Install it: apt-get install mariadb-server (it need not be enabled as a service)",
        permanent=True,
    )


@lru_cache(maxsize=8)
def _version_of(path: str) -> Version:
    return parse_version(run(Command((path, "--no-defaults", "--version")), timeout=30).stdout.decode())


def installed_version() -> Version:
    """What the installed server is. Raises OperationFailed when none is installed."""
    return _version_of(server_binary())


@contextlib.contextmanager
def private_server(
    directory: Path | None = None,
    *,
    keep: bool = False,
    binlog: bool = False,
    settings: Mapping[str, str] | None = None,
    alone: bool = False,
) -> Iterator[Server]:
    """Start a server, wait until it answers, stop it at the end by its own process id.

    `directory` holds its data (default: a temporary one); with `keep` it stays, and the next call with
    the same directory serves the same data. `settings` are server variables, over `SETTINGS`. `alone`: reached
    by its socket only, and confined as far as this machine lets us; `confinement` says how far.
    Raises OperationFailed when the server is not installed or does not come up.
    """
    binary = server_binary()
    if installed_version().flavour != "mariadb":
        raise OperationFailed(
            "The installed server is MySQL; only MariaDB can be started here.", permanent=True
        )
    user = service_user()
    with placed(directory, user, keep=keep) as place, socket_directory(place, user) as sockets:
        _install(place, user, settings or {})
        password = Secret(secrets.token_urlsafe(24))
        _write_init_file(place, password, user)
        chosen = {**(FORGETFUL if alone else {}), **(settings or {})}
        argv = _arguments(binary, place, sockets, binlog=binlog, settings=chosen)
        with _started(argv, place, sockets, password, user, alone=alone) as server:
            yield server


def service_user() -> str | None:
    """Who the server runs as: never root, so that restored SQL cannot touch root's files."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SERVICE_USER).pw_name
    raise OperationFailed(
        f"There is no user {SERVICE_USER}, and a database server is not started as root.",
        "Install the package mariadb-server, which creates it.",
        permanent=True,
    )


@contextlib.contextmanager
def placed(directory: Path | None, user: str | None, *, keep: bool) -> Iterator[Path]:
    """The directory of the server, owned by its user; below /var/tmp when that user cannot get in."""
    if directory is None or (user and not _reachable(directory.absolute().parent)):
        if keep:
            raise OperationFailed(
                f"The user {user} cannot reach {directory}.", "Choose a place it can enter."
            )
        with held_directory(*MARIADB) as place:
            own(place, user)
            yield place
        return
    place = directory.absolute()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    own(place, user)
    try:
        yield place
    finally:
        if not keep:
            _empty(place)


def _reachable(directory: Path) -> bool:
    """True if everybody may pass through `directory` and everything above it."""
    return all(
        stat.S_IMODE(place.stat().st_mode) & stat.S_IXOTH
        for place in (directory, *directory.parents)
        if place.exists()
    )


def own(path: Path, user: str | None) -> None:
    """Give `path` to whom the server runs as."""
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def _empty(place: Path) -> None:
    for name in ("data", "tmp", "no-files"):
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("init.sql", "confinement"):
        (place / name).unlink(missing_ok=True)
    if os.geteuid() == 0:
        os.chown(place, 0, 0)


@contextlib.contextmanager
def socket_directory(place: Path, user: str | None) -> Iterator[Path]:
    """Where the socket stands: a short path, because a socket's address has room for 107 bytes."""
    if len(os.fsencode(place / "mariadb.sock")) <= LONGEST_SOCKET_PATH:
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="drc-", dir="/tmp") as short:
        own(Path(short), user)
        yield Path(short)


def _install(place: Path, user: str | None, settings: Mapping[str, str]) -> None:
    """Create the system tables, unless the directory has them from the last time."""
    temporary = place / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    own(temporary, user)
    # What LOAD DATA, LOAD_FILE and INTO OUTFILE may reach: nothing. Root's own, where we are root.
    (place / "no-files").mkdir(mode=0o711, exist_ok=True)
    if (place / "data" / "mysql").is_dir():
        return
    (place / "data").mkdir(mode=0o700)
    own(place / "data", user)
    # These two are fixed in the files when they are created.
    fixed = [f"--{name}={settings[name]}" for name in FIXED_SETTINGS if name in settings]
    argv = (
        "mariadb-install-db", "--no-defaults", f"--datadir={place / 'data'}", f"--tmpdir={temporary}", "--skip-test-db",
        "--auth-root-authentication-method=normal", "--skip-name-resolve", *fixed,
    )  # fmt: skip
    # Its own: in /tmp a second server that starts clears away what looks like a leftover of the first.
    run(Command(argv, env={"TMPDIR": str(temporary)}, user=user, directory=str(place)), timeout=120)


FIXED_SETTINGS = ("lower-case-table-names", "innodb-page-size")


def hash_of(password: Secret) -> str:
    """As the server keeps it (mysql_native_password)."""
    inner = hashlib.sha1(password.reveal().encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def _write_init_file(place: Path, password: Secret, user: str | None) -> None:
    """What the server runs before it lets anybody in: root's new password, as its hash only."""
    digest = hash_of(password)
    path = place / "init.sql"
    # The installation makes root on localhost, 127.0.0.1, ::1 and the machine's name; one is enough.
    path.write_text(
        f"SET PASSWORD FOR 'root'@'localhost' = '{digest}';\n"
        "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');\n"
        "FLUSH PRIVILEGES;\n"
        f"CREATE OR REPLACE USER 'root'@'127.0.0.1' IDENTIFIED BY PASSWORD '{digest}';\n"
        "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        "GRANT PROXY ON ''@'%' TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    path.chmod(0o600)
    own(path, user)


def _arguments(
    binary: str, place: Path, sockets: Path, *, binlog: bool, settings: Mapping[str, str]
) -> list[str]:
    chosen = {**SETTINGS, **settings}
    if binlog:
        chosen = {
            "log-bin": str(place / "data" / "binlog"),
            "server-id": "1",
            "binlog-format": "ROW",
            **chosen,
        }
    return [
        binary, "--no-defaults", f"--datadir={place / 'data'}", f"--tmpdir={place / 'tmp'}",
        f"--socket={sockets / 'mariadb.sock'}", f"--pid-file={place / 'data' / 'server.pid'}",
        f"--init-file={place / 'init.sql'}", "--bind-address=127.0.0.1",
        f"--secure-file-priv={place / 'no-files'}",
        *(f"--{name}={value}" for name, value in chosen.items()),
    ]  # fmt: skip


@contextlib.contextmanager
def _started(  # noqa: PLR0913 - one call
    argv: list[str], place: Path, sockets: Path, password: Secret, user: str | None, *, alone: bool
) -> Iterator[Server]:
    for attempt in range(1, ATTEMPTS + 1):
        port = _free_port()
        command = _command([*argv, f"--port={port}"], place, sockets, user, alone=alone)
        with start(command, stdout=DEVNULL) as child:
            path = str(sockets / "mariadb.sock")
            server = Server("127.0.0.1", port, path, "root", password, place, child.pid)
            try:
                wait_until_ready(child, server)
            except OperationFailed:
                if attempt < ATTEMPTS and "Address already in use" in child.stderr:
                    continue  # Somebody else took the port between our look and the start.
                raise
            if alone:
                server = replace(server, confinement=confinement(place / "confinement"))
            try:
                yield server
            finally:
                child.terminate(STOP_SECONDS)
            return


def _command(argv: list[str], place: Path, sockets: Path, user: str | None, *, alone: bool) -> Command:
    directory = str(place / "data")
    if not alone:
        return Command(tuple(argv), user=user, directory=directory)
    own, report = (place, sockets), place / "confinement"
    argv = [*argv, "--skip-networking"]
    return Command(
        confined(argv, own=own, program=Path(argv[0]), report=report, user=user), directory=directory
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(child: Child, server: Server) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if child.code is not None:
            child.wait()
            raise OperationFailed(f"The private MariaDB server did not start: {child.stderr[-1500:]}")
        with contextlib.suppress(OSError, pymysql.err.OperationalError):
            knock(server.socket)
            server.connect().close()
            return
        time.sleep(0.05)
    raise OperationFailed(f"The private MariaDB server did not answer within {READY_SECONDS} s.")


def knock(path: str) -> None:
    """Raises OSError unless somebody listens at the socket `path`: PyMySQL leaks its own when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(path)
