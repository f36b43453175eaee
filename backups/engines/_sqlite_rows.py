"""Rows of a SQLite database: read as they are, with the type of each value, and written conditionally."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import md5
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from backups.engines._sqlite_connection import connected, explained, journal_mode
from backups.engines._sqlite_witness import quoted
from backups.engines._temporary import protected_directory
from backups.rows.merge import Row
from backups.rows.session import Bucket, OutcomeUnknown, Refused, Session
from backups.rows.shape import Column, ForeignKey, Shape
from backups.rows.statements import Bound, Dialect, Statement, rendered
from backups.rows.values import Value, Values
from drcenter.errors import OperationFailed

BATCH = 200
# Arguments of one call of a function.
ARGUMENTS = 50
KINDS = {str: "text", bytes: "blob", int: "integer", float: "real"}


@contextmanager
def opened(path: Path, *, write: bool, copied: Any) -> Iterator[Session]:
    """`copied(path, to)`: makes a copy in one step. A reader of a database that is not in WAL mode keeps others from
    writing for as long as it reads, so such a database is copied first."""
    with ExitStack() as stack:
        if not write and journal_mode(path) != "wal":
            copy = stack.enter_context(protected_directory()) / "database"
            copied(path, copy)
            path = copy
        connection = stack.enter_context(connected(path, "rw" if write else "ro"))
        connection.create_function("drc_digest", -1, _digest_of, deterministic=True)
        connection.execute("PRAGMA foreign_keys=ON")
        if not write:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield SQLiteSession(connection, path)


def _digest_of(*values: Value) -> str:
    return md5(repr(values).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


class SQLiteSession(Session):
    shared = False

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self.dialect = Dialect(quoted, quoted, _put, _same, _find, self._one)

    def tables(self) -> list[str]:
        rows = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        )
        return [str(row[0]) for row in rows]

    def shape(self, table: str) -> Shape:
        info = self._connection.execute(
            "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", (table,)
        ).fetchall()
        if table not in self.tables() or not info:
            raise OperationFailed(
                _("There is no table %(table)s in %(place)s.") % {"table": table, "place": self._path.name},
                _("If it was renamed since, name it with --counterpart."), permanent=True,
            )  # fmt: skip
        columns = tuple(Column(name, kind, "any", bool(hidden)) for name, kind, _pk, hidden in info)
        primary = tuple(name for name, _kind, pk, _hidden in sorted(info, key=lambda row: row[2]) if pk)
        triggers = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? ORDER BY name", (table,)
        ).fetchall()
        rows = 0
        with suppress(sqlite3.Error):
            found = self._connection.execute(f"SELECT max(rowid) FROM {quoted(table)}").fetchone()  # noqa: S608
            rows = int(found[0] or 0)
        children = [link for other in self.tables() for link in self._links(other) if link.other == table]
        return Shape(
            table, columns, primary, tuple(self._uniques(table)), tuple(self._links(table)), tuple(children),
            tuple(str(row[0]) for row in triggers), rows,
        )  # fmt: skip

    def _uniques(self, table: str) -> Iterator[tuple[str, ...]]:
        """Unique keys whose columns cannot be NULL."""
        required = {
            row[0] for row in self._connection.execute(
                "SELECT name FROM pragma_table_xinfo(?) WHERE \"notnull\"", (table,))
        }  # fmt: skip
        indexes = self._connection.execute(
            "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial AND origin <> 'pk'",
            (table,),
        ).fetchall()
        for (index,) in indexes:
            names = [
                row[0] for row in self._connection.execute(
                    "SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))
            ]  # fmt: skip
            if names and all(name in required for name in names):
                yield tuple(names)

    def _links(self, table: str) -> Iterator[ForeignKey]:
        rows = self._connection.execute(
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (table,)
        ).fetchall()
        for number in dict.fromkeys(row[0] for row in rows):
            pairs = [(row[2], row[3]) for row in rows if row[0] == number]
            other = next(row[1] for row in rows if row[0] == number)
            others = [to for _from, to in pairs if to is not None] or self._primary(other)
            yield ForeignKey(f"{table}_{number}", table, tuple(one for one, _ in pairs), other, tuple(others))

    def _primary(self, table: str) -> list[str]:
        rows = self._connection.execute(
            "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,)
        )
        return [str(row[0]) for row in rows]

    def _one(self, table: str, condition: Statement) -> Statement:
        """A table without row ids has a primary key: its rows are all different."""
        try:
            self._connection.execute(f"SELECT rowid FROM {table} LIMIT 0")  # noqa: S608 - quoted
        except sqlite3.OperationalError:
            return condition
        return (f"rowid IN (SELECT rowid FROM {table} WHERE ", *condition, " LIMIT 1)")  # noqa: S608

    # ------------------------------------------------------------------ reading

    def buckets(self, table: str, columns: Sequence[Column], key: Sequence[int]) -> dict[int, Bucket]:
        query = f"SELECT {_digest(columns, key)}, {_digest(columns, ())} FROM {quoted(table)}"  # noqa: S608
        counts: dict[int, int] = {}
        sums: dict[int, int] = {}
        for keyed, whole in self._connection.execute(query):
            bucket = int(keyed[:4], 16)
            counts[bucket] = counts.get(bucket, 0) + 1
            sums[bucket] = (sums.get(bucket, 0) + int(whole[:16], 16)) & ((1 << 80) - 1)
        return {bucket: Bucket(count, f"{sums[bucket]:x}") for bucket, count in counts.items()}

    def rows(
        self, table: str, columns: Sequence[Column], key: Sequence[int], buckets: Sequence[int] | None
    ) -> Iterator[Row]:
        reads = ", ".join(quoted(column.name) for column in columns)
        query = f"SELECT {_digest(columns, key)} AS drc_key, {reads} FROM {quoted(table)}"  # noqa: S608
        if buckets is not None:
            heads = ", ".join(f"'{int(number):04x}'" for number in buckets)
            query += f" WHERE substr(drc_key, 1, 4) IN ({heads})"
        for digest, *values in self._connection.execute(f"{query} ORDER BY drc_key"):
            yield Row(digest, tuple(values))

    def lookup(
        self, table: str, columns: Sequence[Column], by: Sequence[Column], values: Sequence[Values]
    ) -> Iterator[Values]:
        reads = ", ".join(quoted(column.name) for column in columns)
        names = ", ".join(quoted(column.name) for column in by)
        for start in range(0, len(values), BATCH):
            some = values[start : start + BATCH]
            row = f"({', '.join('?' * len(by))})"
            query = f"SELECT {reads} FROM {quoted(table)} WHERE ({names}) IN (VALUES {', '.join([row] * len(some))})"  # noqa: S608
            yield from self._connection.execute(query, [value for one in some for value in one])

    def count(self, statement: Statement) -> int:
        text, values = rendered(statement, "?")
        return int(self._connection.execute(text, values).fetchone()[0])

    # ------------------------------------------------------------------ writing

    def execute(self, statement: Statement) -> int:
        text, values = rendered(statement, "?")
        try:
            return self._connection.execute(text, values).rowcount
        except sqlite3.IntegrityError as error:
            raise Refused(str(error), linked="FOREIGN KEY" in str(error)) from None
        except sqlite3.Error as error:
            raise explained(self._path, error) from None

    @contextmanager
    def transaction(self, *, quiet: bool = False) -> Iterator[None]:
        if quiet:
            raise OperationFailed(
                _("SQLite cannot leave triggers out of a connection."), _("Go on with them."), permanent=True
            )
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._connection.execute("ROLLBACK")
            raise Refused(str(error), linked=True) from None
        except sqlite3.Error as error:
            raise OutcomeUnknown(
                _("The transaction could not be committed: %(error)s") % {"error": error}
            ) from None


def _digest(columns: Sequence[Column], key: Sequence[int]) -> str:
    """One function takes some fifty values; the digests of more are digested again."""
    names = [quoted(column.name) for column in ([columns[at] for at in key] or columns)]
    calls = [
        f"drc_digest({', '.join(names[start : start + ARGUMENTS])})"
        for start in range(0, len(names), ARGUMENTS)
    ]
    return calls[0] if len(calls) == 1 else f"drc_digest({', '.join(calls)})"


def _put(column: Column, value: Value) -> Statement:
    return (Bound(value, _literal(value)),)


def _same(column: Column, value: Value) -> Statement:
    name = quoted(column.name)
    if value is None:
        return (f"{name} IS NULL",)
    return (
        f"typeof({name}) = '{KINDS[type(value)]}' AND {name} IS ",
        Bound(value, _literal(value)),
        " COLLATE BINARY",
    )


def _find(column: Column, value: Value) -> Statement:
    return (f"{quoted(column.name)} IS ", Bound(value, _literal(value)))


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
