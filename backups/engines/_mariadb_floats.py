"""Rows of tables with FLOAT columns, written here because the dump tool prints six digits.

16777216 comes back as 16777200 from mariadb-dump, and a second dump of the restored table is equal to the
first to the byte. Here FLOAT goes through DOUBLE, whose text names exactly one value.
"""

from collections.abc import Iterator, Sequence

import pymysql

from backups.engines._mariadb_catalog import Catalog, Table
from backups.engines._mariadb_columns import Column, quoted, row_expressions
from backups.engines._mariadb_connect import Connection
from drcenter.errors import OperationFailed

# Rows are gathered into statements of about this many bytes.
STATEMENT_BYTES = 1 << 20
BEFORE = b"""
SET NAMES utf8mb4;
SET @drc_time_zone=@@time_zone, @drc_sql_mode=@@sql_mode, @drc_foreign=@@foreign_key_checks, @drc_unique=@@unique_checks;
SET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0;
"""
AFTER = b"""
SET time_zone=@drc_time_zone, sql_mode=@drc_sql_mode, foreign_key_checks=@drc_foreign, unique_checks=@drc_unique;
"""
HISTORY_ON = b"SET system_versioning_insert_history=1;\n"
HISTORY_OFF = b"SET system_versioning_insert_history=0;\n"


def float_rows(catalog: Catalog, tables: Sequence[Table], *, history: bool) -> Iterator[bytes]:
    """INSERT statements for all rows of `tables`, read in the session's snapshot without holding them.

    Raises OperationFailed when the server cannot return a row whole.
    """
    yield BEFORE
    for table in tables:
        columns = stored_columns(catalog.columns[table.name], versioned=table.versioned, history=history)
        yield from _table_rows(catalog.connection, table, columns, history=history and table.versioned)
    yield AFTER


def stored_columns(columns: Sequence[Column], *, versioned: bool, history: bool) -> list[Column]:
    """The columns to write: generated ones are computed again, the period of old rows is written."""
    kept = [column for column in columns if not column.generated]
    if not (versioned and history):
        return kept
    period = [
        column for column in columns if column.generated and column.type == "timestamp" and not column.virtual
    ]
    return kept + (period or [Column("row_start", "timestamp"), Column("row_end", "timestamp")])


def select_statement(table: Table, columns: Sequence[Column], *, history: bool) -> str:
    expressions = ", ".join(expression for expression, _raw in row_expressions(columns))
    return f"SELECT {expressions} FROM {quoted(table.name)}{' FOR SYSTEM_TIME ALL' if history else ''}"  # noqa: S608


def _table_rows(
    connection: Connection, table: Table, columns: Sequence[Column], *, history: bool
) -> Iterator[bytes]:
    name = quoted(table.name)
    listed = ", ".join(quoted(column.name) for column in columns)
    head = f"INSERT INTO {name} ({listed}) VALUES\n".encode()
    yield f"\n--\n-- Rows of table {name}\n--\n\n".encode() + (HISTORY_ON if history else b"")
    raw = [is_raw for _expression, is_raw in row_expressions(columns)]
    with pymysql.cursors.SSCursor(connection) as cursor:
        cursor.execute(select_statement(table, columns, history=history))
        yield from _statements(head, (_row(table, row, raw) for row in cursor))
    if history:
        yield HISTORY_OFF


def _statements(head: bytes, rows: Iterator[bytes]) -> Iterator[bytes]:
    """Rows as statements of a bounded size, each block ending at the end of a statement."""
    pending: list[bytes] = []
    size = 0
    for row in rows:
        pending.append(row)
        size += len(row)
        if size >= STATEMENT_BYTES:
            yield head + b",\n".join(pending) + b";\n"
            pending, size = [], 0
    if pending:
        yield head + b",\n".join(pending) + b";\n"


def _row(table: Table, row: tuple[object, ...], raw: Sequence[bool]) -> bytes:
    return b"(" + b",".join(_value(table, value, raw=one) for value, one in zip(row, raw, strict=True)) + b")"


def _value(table: Table, value: object, *, raw: bool) -> bytes:
    if raw:
        return b"NULL" if value is None else b"x'" + _bytes(value).hex().encode() + b"'"
    if value is None:
        raise OperationFailed(
            f"A row of the table {table.name} is too long for the server to return.",
            "Raise max_allowed_packet on the server.",
        )
    return _bytes(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
