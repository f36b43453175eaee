"""Connections to the server, its errors as sentences, and which client tools are installed."""

import contextlib
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import pymysql

from backups.engines._mariadb_commands import Login, Tool
from backups.engines.base import Gone
from backups.servers.mariadb import knock, parse_version
from drcenter.errors import OperationFailed
from drcenter.process import Command, find, run
from drcenter.secrets import resolve

# The stubs of PyMySQL make this class generic, the class itself is not.
Connection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"
CONNECT_SECONDS = 15
DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698})
HINTS: Mapping[int, str] = {
    1045: "Check user and password; the account also has to allow the host that the workers come from.",
    1698: "Check user and password; this account may only sign in through the socket.",
    1044: "Grant the user rights on the database, or correct the database's name.",
    1049: "Check the database's name.",
    2002: "Check that the server runs and that the socket's path is right.",
    2003: "Check that the server runs, the host and port, and any firewall in between.",
    2005: "Check the host's name.",
    1205: "A transaction holds the tables; try again when it has ended.",
    1412: "A table was altered while it was read; try again when the change is done.",
    1146: "A table was dropped or renamed while it was read; try again when the change is done.",
    1153: "Raise max_allowed_packet on the server.",
}
UNKNOWN_DATABASE = 1049
PERMANENT = DENIED | {1049, 2005}


def login_from(options: Mapping[str, Any]) -> Login:
    """The login in an engine's options; its secret is resolved here, as late as possible."""
    return Login(
        host=options["host"] or "127.0.0.1", port=int(options["port"] or 3306), user=options["user"],
        password=resolve(options["password"] or ""), socket=options["socket"] or "",
        tls=options["tls"] or "off", ca=options["ca"] or "",
    )  # fmt: skip


@contextlib.contextmanager
def explained(login: Login) -> Iterator[None]:
    """Turn the driver's errors into OperationFailed: what the server said, and what to do."""
    try:
        yield
    except pymysql.err.Error as error:
        code, text = _code_and_text(error)
        kind = Gone if code == UNKNOWN_DATABASE else OperationFailed
        raise kind(
            f"The database server at {login.place} says: {text} (error {code}).",
            HINTS.get(code, ""),
            permanent=code in PERMANENT,
        ) from None


def _code_and_text(error: pymysql.err.Error) -> tuple[int, str]:
    arguments = error.args
    if len(arguments) > 1 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1])
    return 0, str(error) or "the connection was lost"


@contextlib.contextmanager
def connected(
    login: Login, database: str | None = None, *, read_timeout: int | None = None
) -> Iterator[Connection]:
    """A session in UTC with utf8mb4 and an empty sql_mode, closed at the end. `read_timeout`: seconds that the server
    may take for an answer. Raises OperationFailed."""
    with explained(login):
        connection = connect(login, database, read_timeout=read_timeout)
        try:
            yield connection
        finally:
            connection.close()


def connect(login: Login, database: str | None = None, *, read_timeout: int | None = None) -> Connection:
    """Open such a session; the driver's own errors come through. net_write_timeout: the server waits
    that long for us when the destination stalls."""
    where: dict[str, Any] = {}
    if login.socket:
        # PyMySQL does not close what it opened in vain.
        if not Path(login.socket).is_socket():
            raise pymysql.err.OperationalError(2002, f"there is no socket {login.socket}")
        try:
            knock(login.socket)
        except OSError as error:
            reason = f"nobody listens at the socket {login.socket} ({error.strerror})"
            raise pymysql.err.OperationalError(2002, reason) from None
        where = {"unix_socket": login.socket}
    # As bytes: the driver would encode a text as Latin-1.
    password = login.password.reveal().encode()
    connection = pymysql.connect(
        host=login.host, port=login.port, user=login.user, password=password,
        database=database, charset="utf8mb4", autocommit=True, connect_timeout=CONNECT_SECONDS,
        read_timeout=read_timeout, max_allowed_packet=1 << 30, **where, **_tls(login),
    )  # fmt: skip
    execute(
        connection, "SET SESSION time_zone='+00:00', sql_mode='', net_write_timeout=3600, wait_timeout=86400"
    )
    return connection


def _tls(login: Login) -> dict[str, Any]:
    if login.tls == "off":
        return {"ssl_disabled": True}
    context = ssl.create_default_context(cafile=login.ca or None)
    if login.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def execute(connection: Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """All rows that `statement` returns."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


def denied(error: pymysql.err.Error) -> bool:
    return _code_and_text(error)[0] in DENIED


def dump_tool() -> Tool:
    """mariadb-dump or mysqldump, whichever is installed. Raises OperationFailed with the package."""
    return described(find(tool_names()[0]))


def client_tool() -> Tool:
    """mariadb or mysql, whichever is installed. Raises OperationFailed with the package."""
    return described(find(tool_names()[1]))


def tool_names() -> tuple[str, str]:
    """The names of the dump tool and the client that are installed; MariaDB's where neither is."""
    return _installed("mariadb-dump", "mysqldump"), _installed("mariadb", "mysql")


def _installed(*names: str) -> str:
    for name in names:
        with contextlib.suppress(OperationFailed):
            find(name)
            return name
    return names[0]


@lru_cache(maxsize=16)
def described(path: str) -> Tool:
    said = run(Command((path, "--no-defaults", "--version")), timeout=30)
    # mariabackup says it on standard error.
    version = parse_version(said.stdout.decode() or said.stderr)
    text = run(Command((path, "--no-defaults", "--help")), timeout=30).stdout.decode(errors="replace")
    options = frozenset(re.findall(r"^\s+(?:-\w, )?(--[a-z][a-z-]*)", text, re.MULTILINE))
    return Tool(os.path.basename(path), version.flavour, version.number, options)
