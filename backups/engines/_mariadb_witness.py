"""What a MariaDB database holds: every definition, and per table a row count and a checksum.

The server computes both. `CHECKSUM TABLE` is not used: it differs falsely for tables with virtual
columns. Names of the database are left out of all definitions, so that a copy under another name is equal.
"""

import re
from collections.abc import Collection
from typing import Any

from backups.engines._mariadb_accounts import Accounts
from backups.engines._mariadb_catalog import Catalog, Table
from backups.engines._mariadb_columns import Column, quoted, witness_expression
from backups.witness import Content, Witness
from drcenter.errors import OperationFailed

AUTO_INCREMENT = re.compile(r"^(\) ENGINE=.*?) AUTO_INCREMENT=\d+", re.MULTILINE)
# What SHOW CREATE returns besides the text and what of it belongs to the object, by kind.
DEFINITION_COLUMNS = {
    "PROCEDURE": ("sql_mode", "Create Procedure", "character_set_client", "collation_connection", "Database Collation"),
    "FUNCTION": ("sql_mode", "Create Function", "character_set_client", "collation_connection", "Database Collation"),
    "PACKAGE": ("sql_mode", "Create Package", "character_set_client", "collation_connection", "Database Collation"),
    "PACKAGE BODY": ("sql_mode", "Create Package Body", "character_set_client", "collation_connection", "Database Collation"),
    "TRIGGER": ("sql_mode", "SQL Original Statement", "character_set_client", "collation_connection", "Database Collation"),
    "EVENT": ("sql_mode", "time_zone", "Create Event", "character_set_client", "collation_connection", "Database Collation"),
    "VIEW": ("Create View", "character_set_client", "collation_connection"),
    "TABLE": ("Create Table",),
    "SEQUENCE": ("Create Table",),
}  # fmt: skip
# Stands for a row that could not be hashed: more than the sum of 2^64 for each row of any table.
UNHASHED = 10**32
UNREADABLE = "this user may not read its definition"


def take_witness(catalog: Catalog, accounts: Accounts, disabled: Collection[str] = ()) -> Witness:
    """Everything `catalog` covers, read in the session's snapshot. The driver's errors come through.

    `disabled` are events that the restore itself switched off: they count as they were.
    """
    objects, unreadable = definitions_of(catalog, disabled)
    ignored = {**accounts.ignored, **unreadable}
    objects |= counters(catalog)
    if not catalog.only:
        objects["database options"] = database_options(catalog)
        objects |= accounts.objects
    contents = {table.name: content(catalog, table) for table in catalog.tables}
    return Witness(objects, contents, ignored)


def definitions_of(catalog: Catalog, disabled: Collection[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """The text of each object, and why some cannot be compared. `disabled`: as for `take_witness`."""
    objects: dict[str, str] = {}
    ignored: dict[str, str] = {}
    for kind, name in kinds_and_names(catalog):
        text = definition(catalog, kind, name)
        label = f"{kind.lower()} {name}"
        if text is None:
            ignored[label] = UNREADABLE
        if kind == "EVENT" and name in disabled and text is not None:
            text = text.replace(" DISABLE DO ", " ENABLE DO ", 1).replace(
                " DISABLE COMMENT ", " ENABLE COMMENT ", 1
            )
        objects[label] = text or ""
    return objects, ignored


def kinds_and_names(catalog: Catalog) -> list[tuple[str, str]]:
    """Of every object that this user can see: ("TRIGGER", "t")."""
    return [
        *(("TABLE", table.name) for table in catalog.tables),
        *(("VIEW", name) for name in catalog.views),
        *(("SEQUENCE", name) for name in catalog.sequences),
        *catalog.routines,
        *(("TRIGGER", name) for name in catalog.triggers),
        *(("EVENT", name) for name in catalog.events),
    ]


def definition(catalog: Catalog, kind: str, name: str) -> str | None:
    """The text of an object without what changes by itself; None where the user may not read it."""
    with catalog.connection.cursor() as cursor:
        cursor.execute(f"SHOW CREATE {kind} {quoted(name)}")
        titles = [column[0] for column in cursor.description]
        row = dict(zip(titles, cursor.fetchone() or (), strict=False))
    # Some tables alone do not bring the database's own collation along.
    without = "Database Collation" if catalog.only else ""
    values = [row.get(title) for title in DEFINITION_COLUMNS[kind] if title in row and title != without]
    if any(value is None for value in values):
        return None
    text = "\n".join(_text(value) for value in values)
    if kind == "TABLE":
        text = AUTO_INCREMENT.sub(r"\1", text)
    # Names of views' tables are qualified when they stand in more than one database.
    return text.replace(f"{quoted(catalog.database)}.", "") if kind == "VIEW" else text


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def counters(catalog: Catalog) -> dict[str, str]:
    """The next number of each AUTO_INCREMENT and sequence: no transaction holds them still."""
    found = {
        f"auto_increment {table.name}": str(table.auto_increment or 1)
        for table in catalog.tables
        if any("AUTO_INCREMENT" in column.extra for column in catalog.columns[table.name])
    }
    for name in catalog.sequences:
        ((value,),) = catalog.query(f"SELECT next_not_cached_value FROM {quoted(name)}")  # noqa: S608
        found[f"next value of sequence {name}"] = str(value)
    return found


def database_options(catalog: Catalog) -> str:
    rows = catalog.query(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA"
        " WHERE SCHEMA_NAME = %s",
        catalog.database,
    )
    return " ".join(rows[0]) if rows else ""


def content(catalog: Catalog, table: Table) -> Content:
    """Count and checksum of one table. Raises OperationFailed if a row could not be hashed."""
    ((count, total),) = catalog.query(checksum_query(table, catalog.columns[table.name]))
    total = int(total or 0)
    if total >= UNHASHED or (count and not total):
        raise OperationFailed(
            f"Rows of the table {table.name} are too long for the server to hash.",
            "Raise max_allowed_packet on the server.",
        )
    return Content(int(count), f"{total:x}")


def checksum_query(table: Table, columns: list[Column]) -> str:
    """One query: the number of rows, and the sum of the first 64 bits of each row's MD5.

    A sum, not XOR: a row that is there twice would vanish from XOR. Old rows of system-versioned tables
    count with their times. Virtual columns hold nothing of their own; their expressions are compared.
    The row's text stands in the query once: a second mention, also of a derived table's column, hashes
    every row again (measured: 6.5 s instead of 2.2 s a million rows), and a variable between two aggregates
    is NULL in a new session.
    """
    kept = [witness_expression(column) for column in columns if not column.virtual]
    if table.versioned:
        kept += [quoted(name) for name in hidden_period(columns)]
    rows = f"{quoted(table.name)}{' FOR SYSTEM_TIME ALL' if table.versioned else ''}"
    number = f"CAST(CONV(LEFT(MD5(CONCAT_WS('|',{','.join(kept)})),16),16,10) AS UNSIGNED)"
    return f"SELECT COUNT(*), SUM(IFNULL({number},{UNHASHED})) FROM {rows}"  # noqa: S608


def hidden_period(columns: list[Column]) -> tuple[str, ...]:
    """The columns of a system-versioned table's period that information_schema does not list."""
    visible = any("STORED GENERATED" in column.extra and column.type == "timestamp" for column in columns)
    return () if visible else ("row_start", "row_end")
