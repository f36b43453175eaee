"""Some tables of a SQLite database alone: a file that holds only them, and their way back into a database with others."""

import os
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

from backups.engines._sqlite_connection import connected
from backups.engines._sqlite_replace import written
from backups.engines._sqlite_witness import VIRTUAL, quoted, sequence_of
from backups.engines._temporary import protected_directory
from backups.engines.base import Finding, Untouched, crossing_finding
from drcenter.errors import OperationFailed

IN_USE = "Stop what uses it, and try again: queue workers, cron jobs, open shells."


def listed(path: Path) -> list[str]:
    """Every table that can be taken alone: neither SQLite's own nor virtual ones with what they keep their data in."""
    with connected(path) as connection:
        return _names(connection)


def _names(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    virtual = [name for name, text in rows if VIRTUAL.match(text or "")]
    return [
        str(name)
        for name, _text in rows
        if not name.startswith(("sqlite_", *(f"{one}_" for one in virtual))) and name not in virtual
    ]


def require(path: Path, tables: Collection[str]) -> None:
    """Raises OperationFailed that names the tables which are not there."""
    if missing := set(tables) - set(listed(path)):
        raise OperationFailed(
            f"{path} has no table {', '.join(sorted(missing))}.",
            "Correct the list of tables in the source or the plan.",
            permanent=True,
        )


def links(path: Path, tables: Collection[str]) -> list[Finding]:
    """Foreign keys between a chosen table and one that is not."""
    found = []
    with connected(path) as connection:
        for child in _names(connection):
            for key in connection.execute(f"PRAGMA foreign_key_list({quoted(child)})"):
                parent = str(key[2])
                if (child in tables) != (parent in tables):
                    found.append(f"{child} → {parent}")
    return [crossing_finding(sorted(set(found)))] if found else []


def keep_only(copy: Path, tables: Collection[str]) -> None:
    """Remove everything else from a copy. What is removed is overwritten with zeros: no row of another table stays.

    It is not made smaller: VACUUM may give other row ids. Zeros compress to nothing.
    """
    with connected(copy, "rw") as connection:
        for pragma in ("foreign_keys=OFF", "secure_delete=ON", "journal_mode=OFF", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        _drop_others(connection, tables)


def _drop_others(connection: sqlite3.Connection, tables: Collection[str]) -> None:
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('view', 'table')"
    ).fetchall()
    views = [name for kind, name, _text in rows if kind == "view"]
    virtual = [name for kind, name, text in rows if kind == "table" and VIRTUAL.match(text or "")]
    for name in views:
        connection.execute(f"DROP VIEW {quoted(name)}")
    for name in virtual:
        connection.execute(f"DROP TABLE {quoted(name)}")
    for name in _names(connection):
        if name not in tables:
            connection.execute(f"DROP TABLE {quoted(name)}")


def require_unused(path: Path) -> None:
    """Raises Untouched while somebody else writes to the database."""
    try:
        with connected(path, "rw") as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except OperationFailed as error:
        raise Untouched(f"{path} is in use, or cannot be written: {error}", IN_USE) from None


def put_back(path: Path, stream: BinaryIO, tables: Sequence[str]) -> None:
    """Replace these tables of the database by those of the file in `stream`, in one transaction; the others stay.

    Raises OperationFailed when what arrives is no whole database, or the database is in use: nothing has changed then.
    """
    with protected_directory() as directory:
        fresh = directory / "tables"
        written(fresh, stream)
        with connected(path, "rw") as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            connection.execute("ATTACH DATABASE ? AS fresh", (os.fspath(fresh),))
            connection.execute("BEGIN IMMEDIATE")
            for table in tables:
                _replace(connection, table)
            connection.execute("COMMIT")


def _replace(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f"DROP TABLE IF EXISTS main.{quoted(table)}")
    query = "SELECT type, sql FROM fresh.sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL"
    objects = connection.execute(query, (table,)).fetchall()
    order = ("table", "index", "trigger")
    for kind, text in sorted(objects, key=lambda one: order.index(one[0])):
        if kind == "trigger":
            continue
        connection.execute(text)
        if kind == "table":
            columns = ", ".join(_columns(connection, table))
            connection.execute(
                f"INSERT INTO main.{quoted(table)} ({columns}) SELECT {columns} FROM fresh.{quoted(table)}"  # noqa: S608 - quoted
            )
    for kind, text in objects:
        if kind == "trigger":
            connection.execute(text)
    _set_sequence(connection, table)


def _set_sequence(connection: sqlite3.Connection, table: str) -> None:
    value = sequence_of(connection, table, "fresh")
    if value is None:
        return
    connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (table,))
    connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (table, value))


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Those that are stored, and the row id where no column is one."""
    details = connection.execute(f"PRAGMA fresh.table_xinfo({quoted(table)})").fetchall()
    columns = [quoted(name) for _, name, _, _, _, _, hidden in details if hidden == 0]
    taken = {name.lower() for _, name, *_ in details}
    key = [str(kind).upper() for _, _, kind, _, _, number, _ in details if number]
    alias = next((one for one in ("rowid", "_rowid_", "oid") if one not in taken), None)
    if alias is None or key == ["INTEGER"]:
        return columns
    try:
        connection.execute(f"SELECT {alias} FROM fresh.{quoted(table)} LIMIT 0")  # noqa: S608 - quoted
    except sqlite3.OperationalError:
        return columns  # WITHOUT ROWID
    return [alias, *columns]
