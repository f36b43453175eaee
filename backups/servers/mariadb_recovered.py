"""A private MariaDB server over a data directory that was restored as files.

What a physical backup brings along must not come to life here: events and replication. The server reads no
configuration but ours, has no network, and is confined (backups.servers.confine): libraries that the source loads
reach nothing. The accounts are the source's; one is added for us, and taken away when the server stops.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pymysql

from backups.servers.confine import confined, confinement
from backups.servers.mariadb import (
    SETTINGS,
    STOP_SECONDS,
    Server,
    hash_of,
    own,
    server_binary,
    service_user,
    socket_directory,
    wait_until_ready,
)
from drcenter.errors import OperationFailed
from drcenter.process import DEVNULL, Command, start
from drcenter.secrets import Secret

# What backup-my.cnf says of the files: name and what its value may be.
OF_THE_FILES = {
    "innodb_page_size": re.compile(r"\d{1,6}"), "innodb_undo_tablespaces": re.compile(r"\d{1,3}"),
    "innodb_data_file_path": re.compile(r"[A-Za-z0-9_]+:\d+[KMG]?(?::autoextend)?(?:;[A-Za-z0-9_]+:\d+[KMG]?(?::autoextend)?)*"),
}  # fmt: skip
CONFIGURATION = "backup-my.cnf"
INIT = "init.sql"
ADMINISTRATOR = "drcenter_scratch"
ACCOUNT = f"'{ADMINISTRATOR}'@'localhost'"


@contextmanager
def recovered_server(place: Path, *, lower_case: int = 0) -> Iterator[Server]:
    """A server over the prepared data directory `place`/data, stopped when the context ends.

    `lower_case`: the source's lower_case_table_names. Raises OperationFailed with the server's last words.
    """
    user, binary = service_user(), server_binary()
    nothing = place / "no-files"
    nothing.mkdir(mode=0o711, exist_ok=True)
    password = Secret(secrets.token_urlsafe(24))
    _introduce(place / INIT, password, user)
    with socket_directory(place, user) as sockets:
        path = sockets / "mariadb.sock"
        settings = dict(SETTINGS) | {"lower-case-table-names": str(lower_case)} | of_the_files(place / "data")
        argv = (
            binary, "--no-defaults", f"--datadir={place / 'data'}", f"--tmpdir={place}", f"--socket={path}",
            f"--pid-file={place / 'server.pid'}", f"--init-file={place / INIT}", "--skip-networking", "--skip-log-bin",
            f"--secure-file-priv={nothing}", "--plugin-maturity=unknown",
            *(f"--{name}={value}" for name, value in settings.items()),
        )  # fmt: skip
        report = place / "confinement"
        command = confined(argv, own=(place, sockets), program=Path(binary), report=report, user=user)
        with start(Command(command, directory=str(place)), stdout=DEVNULL) as child:
            server = Server("127.0.0.1", 0, str(path), ADMINISTRATOR, password, place, child.pid)
            wait_until_ready(child, server)
            try:
                yield replace(server, confinement=confinement(report))
            finally:
                _leave(server)
                child.terminate(STOP_SECONDS)


def _introduce(path: Path, password: Secret, user: str | None) -> None:
    """What the server runs before it lets anybody in: our account, with the hash of its password."""
    path.touch(mode=0o600)
    path.write_text(
        f"CREATE OR REPLACE USER {ACCOUNT} IDENTIFIED BY PASSWORD '{hash_of(password)}';\n"
        f"GRANT ALL ON *.* TO {ACCOUNT} WITH GRANT OPTION;\n"
    )
    own(path, user)


def _leave(server: Server) -> None:
    """What is restored is left with the source's accounts alone. A server that is gone has nobody to ask."""
    with suppress(pymysql.err.Error, OSError), server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER IF EXISTS {ACCOUNT}")


def of_the_files(directory: Path) -> dict[str, str]:
    """The settings without which these files cannot be opened, as mariabackup wrote them down; nothing else of them."""
    file = directory / CONFIGURATION
    if file.is_symlink() or not file.is_file():
        raise OperationFailed(
            f"{directory} is no physical backup of MariaDB: {CONFIGURATION} is missing.", permanent=True
        )
    found = {}
    for line in file.read_text(errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name in OF_THE_FILES and OF_THE_FILES[name].fullmatch(value):
            found[name.replace("_", "-")] = value
    return found
