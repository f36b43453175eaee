"""Making a database ready to be restored into, and taking back accounts and grants."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

import pymysql

from backups.engines._mariadb_accounts import account_name
from backups.engines._mariadb_catalog import Catalog, split_account
from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_commands import Login, Selection
from backups.engines._mariadb_connect import Connection, connected, denied, execute
from backups.engines.base import Untouched
from drcenter.errors import OperationFailed

# Of an account or grant that the restore cannot make: the longest part of the statement that is shown.
SHOWN = 120
# A lock that did not come in time; two sessions that wait for each other.
LOCKED = (1205, 1213)
# How long a table may be held by others (the server's default is a day).
LOCK_WAIT_SECONDS = 60


def make_ready(login: Login, selection: Selection, *, overwrite: bool) -> bool:
    """Create the database if it is missing, or clear what would be overwritten. True if it was created.

    With a selection of tables only these are dropped. Raises OperationFailed when something is there
    and `overwrite` is False.
    """
    with connected(login) as connection:
        created = not _exists(connection, selection.database)
        if created:
            execute(connection, f"CREATE DATABASE {quoted(selection.database)} CHARACTER SET utf8mb4")
        execute(connection, f"USE {quoted(selection.database)}")
        catalog = Catalog(connection, selection.database, selection.tables)
        statements = drop_statements(catalog)
        if statements and not overwrite:
            raise OperationFailed(
                f"The database {selection.database} at {login.place} is not empty.",
                "Choose another name, or allow it to be overwritten.",
                permanent=True,
            )
        execute(connection, f"SET SESSION foreign_key_checks=0, lock_wait_timeout={LOCK_WAIT_SECONDS}")
        dropped = _drop_tables(connection, catalog)
        _drop(connection, statements, selection.database, untouched=not dropped)
    return created


def _drop(connection: Connection, statements: Sequence[str], database: str, *, untouched: bool) -> None:
    """Raises Untouched when the very first drop is refused: the right is missing, and all is as it was."""
    for statement in statements:
        try:
            execute(connection, statement)
        except pymysql.err.Error as error:
            if not untouched or not denied(error):
                raise
            raise Untouched(
                f"Nothing of {database} was overwritten, for the user may not: {error.args[1]} (error {error.args[0]}).",
                "Let the source sign in as a user who may overwrite the database (the application's own), or grant"
                " it the rights.",
                permanent=True,
            ) from None
        untouched = False


def _drop_tables(connection: Connection, catalog: Catalog) -> bool:
    """All of them, or none: each is locked before the first is dropped. Raises Untouched while others use one.
    False: none was dropped.

    A table that cannot be locked for another reason (it is broken, the right is missing) is dropped all the same.
    """
    tables = [quoted(table.name) for table in catalog.tables]
    if not tables:
        return False
    try:
        execute(connection, "LOCK TABLES " + ", ".join(f"{name} WRITE" for name in tables))
    except pymysql.err.Error as error:
        if error.args[0] not in LOCKED:
            return False
        raise Untouched(
            f"Others use tables of {catalog.database}, and did not let go of them for {LOCK_WAIT_SECONDS} s:"
            f" {error.args[1]} (error {error.args[0]}).",
            "Stop queue workers, cron jobs and open clients, or end their sessions (SHOW PROCESSLIST, KILL), and try"
            " again.",
        ) from None
    _drop(connection, [f"DROP TABLE {name}" for name in tables], catalog.database, untouched=True)
    execute(connection, "UNLOCK TABLES")
    return True


def _exists(connection: Connection, database: str) -> bool:
    statement = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
    return bool(execute(connection, statement, database))


def drop_statements(catalog: Catalog) -> list[str]:
    """Events first, so that none runs into half a database. Triggers go with their tables."""
    statements = [f"DROP EVENT IF EXISTS {quoted(name)}" for name in catalog.events]
    statements += [f"DROP VIEW IF EXISTS {quoted(name)}" for name in catalog.views]
    statements += [f"DROP {kind} IF EXISTS {quoted(name)}" for kind, name in reversed(catalog.routines)]
    statements += [f"DROP TABLE IF EXISTS {quoted(table.name)}" for table in catalog.tables]
    return statements + [f"DROP SEQUENCE IF EXISTS {quoted(name)}" for name in catalog.sequences]


def disable_events(catalog: Catalog) -> list[str]:
    """Switch off every event that would run; their names.

    ALTER EVENT also sets definer, sql_mode, time zone and character sets to the session's: so the
    session takes those of the event first.
    """
    rows = catalog.query(
        "SELECT EVENT_NAME, DEFINER, SQL_MODE, TIME_ZONE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"
        " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s AND STATUS = 'ENABLED'",
        catalog.database,
    )
    for name, definer, *settings in rows:
        catalog.query(
            "SET SESSION sql_mode=%s, time_zone=%s, character_set_client=%s, collation_connection=%s",
            *settings,
        )
        holder = account_name(split_account(str(definer)))
        catalog.query(f"ALTER DEFINER={holder} EVENT {quoted(str(name))} DISABLE")
    return [str(row[0]) for row in rows]


def drop_database(login: Login, database: str) -> None:
    with connected(login) as connection:
        execute(connection, f"DROP DATABASE IF EXISTS {quoted(database)}")


def statement_runner(
    login: Login, database: str, adapted: Callable[[str], str] = str
) -> Callable[[BinaryIO], None]:
    """What takes the parts `accounts` and `grants`: one statement a line.

    An application's own user may not create users, and need not: what concerns that user itself is
    left out when the server refuses it. `adapted` says what is run in place of each. Raises OperationFailed for any other refusal.
    """

    def consume(stream: BinaryIO) -> None:
        statements = [line.rstrip(";\r") for line in stream.read().decode().split("\n") if line.strip()]
        with connected(login, database) as connection:
            ((text,),) = execute(connection, "SELECT CURRENT_USER()")
            user, _, host = str(text).rpartition("@")
            for statement in filter(None, map(adapted, statements)):
                _run(connection, statement, own=account_name((user, host)))

    return consume


def _run(connection: Connection, statement: str, *, own: str) -> None:
    try:
        execute(connection, statement)
    except pymysql.err.Error as error:
        if not denied(error):
            raise
        if statement.endswith(own) or f" {own} " in statement:
            return
        # The rest of a CREATE USER is the hash of a password.
        shown = statement.split(" IDENTIFIED ", maxsplit=1)[0][:SHOWN]
        raise OperationFailed(
            f"The user {own} may not run: {shown}",
            "Restore as a user with CREATE USER and GRANT OPTION, or create the account by hand first.",
            permanent=True,
        ) from None


def count_rows(login: Login, database: str, tables: Sequence[str]) -> dict[str, int]:
    """Rows of each table. Raises OperationFailed for one that does not exist."""
    with connected(login, database) as connection:
        return {table: _count(connection, table) for table in tables}


def _count(connection: Connection, table: str) -> int:
    try:
        ((count,),) = execute(connection, f"SELECT COUNT(*) FROM {quoted(table)}")  # noqa: S608
    except pymysql.err.ProgrammingError as error:
        if error.args[0] != 1146:
            raise
        raise OperationFailed(f"The table {table} does not exist.", permanent=True) from None
    return int(count)
