"""The witness of one SQLite file: schema, settings, integrity, and a checksum of every table."""

import re
import sqlite3
from collections.abc import Collection, Iterable
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from backups.engines._sqlite_connection import connected, journal_mode
from backups.witness import Content, Witness

PRAGMAS = ("user_version", "application_id", "encoding", "auto_vacuum", "page_size")
VIRTUAL = re.compile(r"^\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)
# Values above this many bytes are digested alone, so that no row is turned into text as a whole.
LARGE = 1 << 16
MODULUS = 1 << 128
# What integrity_check says when the application adds functions to SQLite that are not known here.
UNKNOWN_HERE = ("no such collation", "no such function", "no such module", "unknown function")


def compute(path: Path, *, immutable: bool = False, only: Collection[str] = ()) -> Witness:
    """What the file holds, in one read transaction. Raises OperationFailed when it cannot be read.

    `only`: these tables, with their indexes and triggers; nothing of the rest, nor of the file's settings.
    """
    with connected(path, immutable=immutable) as connection:
        connection.execute("BEGIN")
        master = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        if only:
            master = [one for one in master if one[2] in only]
        objects = {f"{kind} {name}": sql or f"automatic, of {table}" for kind, name, table, sql in master}
        if only:
            objects |= {f"sequence of {name}": str(sequence_of(connection, name)) for name in only}
        else:
            objects |= {f"pragma {name}": _pragma(connection, name) for name in PRAGMAS}
            objects["pragma journal_mode"] = journal_mode(path)
        objects["integrity_check"] = integrity(connection)
        tables = [(name, sql or "") for kind, name, _, sql in master if kind == "table"]
        contents, ignored = {}, {}
        for name, sql in tables:
            if VIRTUAL.match(sql):
                ignored[name] = "a virtual table: its data are in its shadow tables, which are compared"
            else:
                contents[name] = _content(connection, name)
        # sqlite_master does not list itself, and the table of sequences is listed like any other.
        return Witness(objects, contents, ignored)


def sequence_of(connection: sqlite3.Connection, table: str, schema: str = "main") -> int | None:
    """The last number that AUTOINCREMENT gave; None for a table without it."""
    try:
        query = f"SELECT seq FROM {schema}.sqlite_sequence WHERE name = ?"  # noqa: S608 - main, or our own
        row = connection.execute(query, (table,)).fetchone()
    except sqlite3.OperationalError:
        return None  # No table of the database has one.
    return int(row[0]) if row and row[0] is not None else None


def integrity(connection: sqlite3.Connection) -> str:
    """`ok`, or what PRAGMA integrity_check found, at most ten lines."""
    try:
        return "\n".join(str(line) for (line,) in connection.execute("PRAGMA integrity_check(10)"))
    except sqlite3.Error as error:
        return f"cannot be checked: {error}"


def is_damaged(finding: str) -> bool:
    """True if the text that `integrity` gave tells of damage, and not of a function unknown here."""
    return finding != "ok" and not any(reason in finding for reason in UNKNOWN_HERE)


def quoted(name: str) -> str:
    """`name` as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _pragma(connection: sqlite3.Connection, name: str) -> str:
    return str(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _content(connection: sqlite3.Connection, table: str) -> Content:
    query = _query(connection, table)
    try:
        connection.text_factory = str
        return _summed(connection.execute(query))
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    # Slower, for text that is not UTF-8; a row without such text gets the same digest in both ways.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return _summed(connection.execute(query))


def _query(connection: sqlite3.Connection, table: str) -> str:
    """All stored columns, and the row id, which applications use even where no column is named so.

    Virtual generated columns (hidden = 2) are left out: they are not stored, and may need functions
    that only the application has.
    """
    details = connection.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
    columns = [name for _, name, _, _, _, _, hidden in details if hidden != 2]
    taken = {name.lower() for _, name, *_ in details}
    selected = [quoted(name) for name in columns]
    for alias in ("rowid", "_rowid_", "oid"):
        if alias not in taken:
            selected = ([alias] if _has_row_ids(connection, table, alias) else []) + selected
            break
    return f"SELECT {', '.join(selected)} FROM {quoted(table)}"  # noqa: S608 - quoted names only


def _has_row_ids(connection: sqlite3.Connection, table: str, alias: str) -> bool:
    try:
        connection.execute(f"SELECT {alias} FROM {quoted(table)} LIMIT 0")  # noqa: S608 - quoted names only
    except sqlite3.OperationalError:
        return False  # WITHOUT ROWID
    return True


def _summed(rows: Iterable[tuple[Any, ...]]) -> Content:
    """Count and checksum. The sum of the rows' digests does not depend on their order."""
    count, total = 0, 0
    for row in rows:
        values = row
        for value in row:
            if type(value) in (str, bytes) and len(value) > LARGE:
                values = tuple(map(_shortened, row))
                break
        # repr keeps types apart and every digit of a float.
        digest = blake2b(repr(values).encode(), digest_size=16).digest()
        total = (total + int.from_bytes(digest, "big")) % MODULUS
        count += 1
    return Content(count, f"{total:032x}")


def _shortened(value: Any) -> Any:
    if type(value) is bytes and len(value) > LARGE:
        return ("bytes", len(value), sha256(value).hexdigest())
    if type(value) is str and len(value) > LARGE:
        return ("str", len(value), sha256(value.encode("utf-8", "surrogateescape")).hexdigest())
    return value
