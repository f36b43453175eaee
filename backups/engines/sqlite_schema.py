"""The metadata of a SQLite database: its schema without rows, and statistics of its tables."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.utils.translation import gettext_lazy as _

from backups.engines import sqlite
from backups.engines._schema import (
    BYTES_A_TABLE,
    STATISTICS,
    SchemaOnly,
    content_of,
    statistics_part,
    statistics_text,
)
from backups.engines._sqlite_connection import connected, require_database
from backups.engines._sqlite_witness import quoted
from backups.engines.base import Consumer, Inspection, PartSpec, Snapshot
from backups.witness import Witness
from drcenter.errors import OperationFailed

# Tables first, since the others speak of them. What SQLite makes by itself has no text, or a name of its own.
QUERY = (
    "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid"
)


class Plugin(SchemaOnly, sqlite.Plugin):
    label = cast(str, _("SQLite: schema and statistics only"))

    def inspect(self) -> Inspection:
        found = super().inspect()
        # The way the rows are written does not matter here.
        return Inspection(BYTES_A_TABLE * (int(found.facts["tables"]) + 1), {**found.facts, "size": 0})

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        require_database(self.path)
        with connected(self.path) as connection:
            connection.execute("BEGIN")
            yield _Schema(connection)

    def witness(self) -> Witness:
        require_database(self.path)
        with connected(self.path) as connection:
            return Witness(_objects(connection), self._seen.contents)

    def expect(self, witness: Witness | None) -> None:
        """Its rights are told by the set of the database itself."""

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) == STATISTICS:
            return self._seen.consume
        if (part, suffix) != ("schema", "sql"):
            raise OperationFailed(f"A schema of SQLite has no part {part}.{suffix}.", permanent=True)
        return partial(_load, self.path)


class _Schema(Snapshot):
    position: Mapping[str, Any] = {}

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._objects = _objects(connection)
        self._statistics = statistics_text(_statistics(connection))

    def parts(self) -> Iterator[PartSpec]:
        yield PartSpec("schema", "sql", (self._script,))
        yield statistics_part(self._statistics)

    def _script(self) -> Iterator[bytes]:
        yield b"-- Schema without rows.\n"
        for text in self._objects.values():
            yield f"{text};\n".encode()

    def witness(self) -> Witness:
        return Witness(self._objects, content_of(self._statistics))


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Every definition. The tables that a virtual table keeps its data in come with it."""
    shadows = {row[1] for row in connection.execute("PRAGMA table_list") if row[2] == "shadow"}
    return {f"{kind} {name}": sql for kind, name, sql in connection.execute(QUERY) if name not in shadows}


def _statistics(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    names = [
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    return [{"name": name, "rows": _rows(connection, name)} for name in names]


def _rows(connection: sqlite3.Connection, table: str) -> int | None:
    try:
        return int(connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted
    except sqlite3.OperationalError:
        return None  # A virtual table whose module only the application has.


def _load(path: Path, stream: BinaryIO) -> None:
    """Run the script in a new file. A set is input from outside: it must not open other files."""
    script = b"".join(iter(partial(stream.read, 1 << 20), b"")).decode(errors="surrogateescape")
    path.touch(mode=0o600, exist_ok=True)
    with connected(path, "rw") as connection:
        connection.set_authorizer(_allowed)
        connection.executescript(f"BEGIN;\n{script}\nCOMMIT;")


def _allowed(action: int, *_what: str | None) -> int:
    return (
        sqlite3.SQLITE_DENY if action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH} else sqlite3.SQLITE_OK
    )
