"""Replaying a binary log onto a scratch server: the commands, and what the server is told before."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_commands import Login, Tool, option_file, restore_command
from backups.engines._mariadb_connect import client_tool, connected, execute
from backups.engines.base import StatementLog
from drcenter.process import Command

# A scratch server need not survive a power cut: what it loses is restored again.
FAST = ("SET GLOBAL innodb_flush_log_at_trx_commit=0", "SET GLOBAL sync_binlog=0")


def log_command(files: Sequence[str], start: int, stop: int, database: str | None) -> Command:
    """Print the log from a byte of the first file to a byte of the last, as statements. `database`: of it alone."""
    argv = (
        "mariadb-binlog", "--no-defaults", "--disable-log-bin", "--skip-annotate-row-events",
        f"--start-position={start}", f"--stop-position={stop}",
        *((f"--database={database}",) if database is not None else ()), *files,
    )  # fmt: skip
    return Command(argv, large_writes=True)


def shown_command(file: str, start: int, stop: int) -> Command:
    """Print a stretch of one file for people: statements, and rows as comments."""
    argv = (
        "mariadb-binlog", "--no-defaults", "--base64-output=decode-rows", "--verbose",
        f"--start-position={start}", f"--stop-position={stop}", file,
    )  # fmt: skip
    return Command(argv)


class BinaryLog(StatementLog):
    """The binary log, for a scratch server that this `login` is the administrator of. `database` None: all of them."""

    def __init__(self, login: Login, database: str | None) -> None:
        self._login, self.database = login, database

    def begin(self, uses: Iterable[str]) -> None:
        with connected(self._login) as connection:
            for statement in FAST:
                execute(connection, statement)
            for name in sorted(uses):
                execute(connection, f"CREATE DATABASE IF NOT EXISTS {quoted(name)}")

    def printed(self, files: Sequence[str], start: int, stop: int, *, whole: bool) -> Command:
        return log_command(files, start, stop, None if whole else self.database)

    def client(self) -> Command:
        return log_client(client_tool(), self._login, self.database)


def log_client(tool: Tool, login: Login, database: str | None) -> Command:
    """The client that takes what `log_command` prints."""
    return restore_command(tool, login, database)


def write_client_file(path: Path, login: Login) -> str:
    """An option file for people, of mode 0600, for as long as the scratch server runs. Its path."""
    path.touch(mode=0o600)
    path.write_text(option_file(login, client_tool()).reveal())
    return str(path)


def login_options(login: Login, password: Path) -> dict[str, object]:
    """What the engine `mariadb` needs to work on a private server; the password in a file, since options hold references."""
    password.touch(mode=0o600)
    password.write_text(login.password.reveal())
    return {
        "host": login.host, "port": login.port, "socket": login.socket, "user": login.user,
        "password": f"file:{password}", "tls": "off", "ca": "",
    }  # fmt: skip
