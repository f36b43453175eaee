"""What a MariaDB database holds: every definition, and per table a row count and a checksum.

The server computes both. `CHECKSUM TABLE` is not used: it differs falsely for tables with virtual
columns. Names of the database are left out of all definitions, so that a copy under another name is equal.
"""

import re
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
UNREADABLE = "this user may not read its definition"


def take_witness(catalog: Catalog, accounts: Accounts) -> Witness:
    """Everything `catalog` covers, read in the session's snapshot. The driver's errors come through."""
    objects: dict[str, str] = {}
    ignored: dict[str, str] = dict(accounts.ignored)
    for kind, name in _definitions(catalog):
        text = definition(catalog, kind, name)
        label = f"{kind.lower()} {name}"
        if text is None:
            ignored[label] = UNREADABLE
        objects[label] = text or ""
    objects |= counters(catalog)
    if not catalog.only:
        objects["database options"] = database_options(catalog)
        objects |= accounts.objects
    contents = {table.name: content(catalog, table) for table in catalog.tables}
    return Witness(objects, contents, ignored)


def _definitions(catalog: Catalog) -> list[tuple[str, str]]:
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
    values = [row.get(title) for title in DEFINITION_COLUMNS[kind] if title in row]
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
    ((count, hashed, first, second),) = catalog.query(checksum_query(table, catalog.columns[table.name]))
    if count != hashed:
        raise OperationFailed(
            f"{count - hashed} rows of the table {table.name} are too long for the server to hash.",
            "Raise max_allowed_packet on the server.",
        )
    return Content(int(count), f"{int(first or 0):x}-{int(second or 0):x}")


def checksum_query(table: Table, columns: list[Column]) -> str:
    """One query: the rows, how many could be hashed, and two sums of independent halves of their MD5.

    Sums, not XOR: a row that is there twice would vanish from XOR. Old rows of system-versioned tables
    count with their times. Virtual columns hold nothing of their own; their expressions are compared.
    """
    kept = [witness_expression(column) for column in columns if not column.virtual]
    if table.versioned:
        kept += [quoted(name) for name in hidden_period(columns)]
    rows = f"{quoted(table.name)}{' FOR SYSTEM_TIME ALL' if table.versioned else ''}"
    half = "SUM(CAST(CONV({}(h,16),16,10) AS UNSIGNED))"
    return (
        f"SELECT COUNT(*), COUNT(h), {half.format('LEFT')}, {half.format('RIGHT')}"  # noqa: S608
        f" FROM (SELECT MD5(CONCAT_WS('|',{','.join(kept)})) AS h FROM {rows}) AS hashes"
    )


def hidden_period(columns: list[Column]) -> tuple[str, ...]:
    """The columns of a system-versioned table's period that information_schema does not list."""
    visible = any("STORED GENERATED" in column.extra and column.type == "timestamp" for column in columns)
    return () if visible else ("row_start", "row_end")
