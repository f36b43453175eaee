"""Rows of a MariaDB or MySQL database: compared by checksums of the server, streamed, and written conditionally.

Every value but bytes travels as text of its own type: numbers exact, FLOAT and DOUBLE with all their digits, times
in UTC, text in utf8mb4.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pymysql
from django.utils.translation import gettext as _

from backups.engines._mariadb_columns import EXACT, FLOATING, LONG, PLAIN, quoted
from backups.engines._mariadb_commands import Login
from backups.engines._mariadb_connect import connect, execute, explained
from backups.engines._mariadb_snapshot import OPTIONAL_SETTINGS
from backups.engines._mariadb_witness import UNHASHED
from backups.rows.merge import Row
from backups.rows.session import BUCKETS, Bucket, OutcomeUnknown, Refused, Session
from backups.rows.shape import Column, ForeignKey, Shape
from backups.rows.statements import Bound, Dialect, Statement, rendered
from backups.rows.values import Value, Values
from drcenter.errors import OperationFailed

NULL_MARK = "~"
FOREIGN = {1216, 1217, 1451, 1452}
# SIGNAL of a trigger, checks of MariaDB and MySQL.
REFUSED = {1644, 4025, 3819}
LOST = {2006, 2013, 2055}
# The server says no more of one expression than max_allowed_packet: longer rows are told apart by their columns.
BATCH = 500


def opened(login: Login, database: str, *, write: bool) -> contextlib.AbstractContextManager[Session]:
    return _opened(login, database, write=write)


@contextlib.contextmanager
def _opened(login: Login, database: str, *, write: bool) -> Iterator[Session]:
    with explained(login):
        session = MariaDBSession(login, database)
        try:
            session.settle(write=write)
            yield session
        finally:
            session.close()


class MariaDBSession(Session):
    def __init__(self, login: Login, database: str) -> None:
        self._login, self._database = login, database
        self._connection = connect(login, database)
        self.dialect = Dialect(
            quoted, quoted, _put, _same, _find, lambda _table, condition: (*condition, " LIMIT 1"),
            no_table=" FROM DUAL",
        )  # fmt: skip

    def settle(self, *, write: bool) -> None:
        for setting in OPTIONAL_SETTINGS:
            with contextlib.suppress(pymysql.err.Error):
                execute(self._connection, f"SET SESSION {setting}")
        if write:
            # Otherwise a row with the number 0 would come back with the next one.
            execute(self._connection, "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO'")
            return
        execute(self._connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        execute(self._connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with explained(self._login):
            return execute(self._connection, statement, *values)

    def tables(self) -> list[str]:
        rows = self._ask(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
            " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME",
            self._database,
        )
        return [str(name) for (name,) in rows]

    def shape(self, table: str) -> Shape:
        columns = self._ask(
            "SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, UPPER(EXTRA), CHARACTER_SET_NAME"
            " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
            self._database, table,
        )  # fmt: skip
        if not columns:
            raise OperationFailed(
                _("There is no table %(table)s in %(place)s.") % {"table": table, "place": self._database},
                _("If it was renamed since, name it with --counterpart."), permanent=True,
            )  # fmt: skip
        keys = self._keys(table)
        ((engine, rows),) = self._ask(
            "SELECT ENGINE, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", self._database, table,
        )  # fmt: skip
        safe = self._ask(
            "SELECT 1 FROM information_schema.ENGINES WHERE ENGINE = %s AND TRANSACTIONS = 'YES'", engine
        )
        triggers = self._ask(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s"
            " AND EVENT_OBJECT_TABLE = %s ORDER BY 1", self._database, table,
        )  # fmt: skip
        return Shape(
            table, tuple(_column(*row) for row in columns), keys.pop("PRIMARY", ()), tuple(keys.values()),
            self._links(table, "child"), self._links(table, "parent"),
            tuple(str(name) for (name,) in triggers), int(rows), bool(safe),
        )  # fmt: skip

    def _keys(self, table: str) -> dict[str, tuple[str, ...]]:
        """Unique keys that tell every row apart: without NULL, and of whole columns."""
        rows = self._ask(
            "SELECT INDEX_NAME, COLUMN_NAME, NULLABLE, SUB_PART FROM information_schema.STATISTICS"
            " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            self._database, table,
        )  # fmt: skip
        found: dict[str, list[str]] = {}
        loose = {index for index, _name, nullable, part in rows if nullable == "YES" or part is not None}
        for index, name, _nullable, _part in rows:
            if index not in loose:
                found.setdefault(index, []).append(name)
        return {index: tuple(names) for index, names in found.items()}

    def _links(self, table: str, side: str) -> tuple[ForeignKey, ...]:
        rows = self._ask(
            "SELECT CONSTRAINT_NAME, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
            " FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_SCHEMA = %s"
            " AND IF(%s = 'parent', REFERENCED_TABLE_NAME, TABLE_NAME) = %s"
            " ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
            self._database, self._database, side, table,
        )  # fmt: skip
        found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for name, child, column, parent, other in rows:
            found.setdefault((name, child, parent), []).append((column, other))
        return tuple(
            ForeignKey(name, child, tuple(one for one, _ in pairs), parent, tuple(two for _, two in pairs))
            for (name, child, parent), pairs in found.items()
        )

    # ------------------------------------------------------------------ reading

    def buckets(self, table: str, columns: Sequence[Column], key: Sequence[int]) -> dict[int, Bucket]:
        # The number stands in the query once: a second mention would hash every row again.
        number = f"CAST(CONV(LEFT(MD5({_text(columns)}),16),16,10) AS UNSIGNED)"
        query = (
            f"SELECT {_bucket(columns, key)} AS bucket, COUNT(*), SUM(IFNULL({number},{UNHASHED}))"  # noqa: S608 - quoted
            f" FROM {quoted(table)} GROUP BY bucket"
        )
        found = {}
        for bucket, count, total in self._streamed(query):
            checksum = str(total) if total < UNHASHED else None
            found[int(bucket if bucket is not None else BUCKETS)] = Bucket(int(count), checksum)
        return found

    def rows(
        self, table: str, columns: Sequence[Column], key: Sequence[int], buckets: Sequence[int] | None
    ) -> Iterator[Row]:
        reads = ", ".join(_read(column) for column in columns)
        query = f"SELECT {_digest(columns, key)} AS digest, {reads} FROM {quoted(table)}"  # noqa: S608 - quoted
        if buckets is not None:
            numbers = ", ".join(str(int(number)) for number in buckets)
            query += f" WHERE {_bucket(columns, key)} IN ({numbers})"
        for digest, *values in self._streamed(f"{query} ORDER BY digest"):
            yield Row(_as_text(digest), tuple(values))

    def lookup(
        self, table: str, columns: Sequence[Column], by: Sequence[Column], values: Sequence[Values]
    ) -> Iterator[Values]:
        reads = ", ".join(_read(column) for column in columns)
        for start in range(0, len(values), BATCH):
            wanted = self.dialect.any_of(by, values[start : start + BATCH])
            text, bound = rendered((f"SELECT {reads} FROM {quoted(table)} WHERE ", *wanted), "%s")  # noqa: S608
            yield from (tuple(row) for row in self._ask(text, *bound))

    def _streamed(self, query: str) -> Iterator[tuple[Any, ...]]:
        with explained(self._login), self._connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(1000):
                yield from rows

    def count(self, statement: Statement) -> int:
        text, values = rendered(statement, "%s")
        ((number,),) = self._ask(text, *values)
        return int(number)

    # ------------------------------------------------------------------ writing

    def execute(self, statement: Statement) -> int:
        text, values = rendered(statement, "%s")
        try:
            with self._connection.cursor() as cursor:
                return int(cursor.execute(text, values))
        except pymysql.err.Error as error:
            code = error.args[0] if error.args else 0
            if isinstance(error, pymysql.err.IntegrityError | pymysql.err.DataError) or code in REFUSED:
                raise Refused(str(error.args[-1]), linked=code in FOREIGN) from None
            with explained(self._login):
                raise

    @contextlib.contextmanager
    def transaction(self, *, quiet: bool = False) -> Iterator[None]:
        if quiet:
            raise OperationFailed(
                _("MariaDB cannot leave triggers out of a session."), _("Go on with them."), permanent=True
            )
        with explained(self._login):
            self._connection.begin()
        try:
            yield
        except BaseException:
            with contextlib.suppress(pymysql.err.Error):
                self._connection.rollback()
            raise
        try:
            self._connection.commit()
        except pymysql.err.Error as error:
            raise OutcomeUnknown(
                _("The connection was lost while the transaction was committed: %(error)s") % {"error": error}
            ) from None

    def close(self) -> None:
        with contextlib.suppress(pymysql.err.Error):
            self._connection.close()


def _column(name: str, kind: str, data: str, extra: str, charset: str | None) -> Column:
    data = data.lower()
    generated = "GENERATED" in extra and "DEFAULT_GENERATED" not in extra.replace("DEFAULT_GENERATED ON", "")
    return Column(name, kind, _form(data, charset), generated, restamped="ON UPDATE" in extra)


def _form(data: str, charset: str | None) -> str:
    if data in EXACT:
        return "number"
    if data in FLOATING:
        return "float"
    if data == "bit":
        return "bits"
    if data in PLAIN:
        return "plain"
    if charset is not None or data in {"enum", "set", "json"}:
        return "text"
    return "bytes"


def _read(column: Column) -> str:
    """An expression: the value as it travels."""
    name = quoted(column.name)
    forms: Mapping[str, str] = {
        "number": f"CAST({name} AS CHAR)",
        "plain": f"CAST({name} AS CHAR)",
        "float": f"CAST({name}*1.0e0+0e0 AS CHAR)",
        "bits": f"CAST(CAST({name} AS UNSIGNED) AS CHAR)",
        "text": f"CONVERT({name} USING utf8mb4)",
        "bytes": f"CAST({name} AS BINARY)",
    }
    return forms[column.form]


def _hashed(column: Column) -> str:
    """Text that differs whenever the value does, whatever the character set of the column."""
    if column.form in {"number", "plain"}:
        # CONCAT_WS makes text of it, quicker than CAST.
        return f"IFNULL({quoted(column.name)},'{NULL_MARK}')"
    value, kind = _read(column), column.type.split("(")[0].lower()
    if column.form in {"text", "bytes"}:
        value = f"MD5({value})" if kind in LONG else f"HEX({value})"
    return f"IFNULL({value},'{NULL_MARK}')"


def _text(columns: Sequence[Column]) -> str:
    return f"CONCAT_WS('|',{','.join(_hashed(column) for column in columns)})"


def _keyed(columns: Sequence[Column], key: Sequence[int]) -> str:
    return _text([columns[at] for at in key] or columns)


def _bucket(columns: Sequence[Column], key: Sequence[int]) -> str:
    return f"(CRC32({_keyed(columns, key)}) & {BUCKETS - 1})"


def _digest(columns: Sequence[Column], key: Sequence[int]) -> str:
    return f"MD5({_keyed(columns, key)})"


def _put(column: Column, value: Value) -> Statement:
    if value is None:
        return ("NULL",)
    return (Bound(_typed(column, value), _literal(column, value)),)


def _same(column: Column, value: Value) -> Statement:
    name = quoted(column.name)
    if value is None:
        return (f"{name} IS NULL",)
    if isinstance(value, bytes):
        return (f"HEX({name}) = ", Bound(value.hex().upper(), f"'{value.hex().upper()}'"))
    if column.form == "text":
        return (
            f"CAST({_read(column)} AS BINARY) = CAST(",
            Bound(value, _text_literal(str(value))),
            " AS BINARY)",
        )
    return (f"{_read(column)} = ", Bound(value, _text_literal(str(value))))


def _find(column: Column, value: Value) -> Statement:
    if value is None:
        return (f"{quoted(column.name)} IS NULL",)
    return (f"{quoted(column.name)} = ", *_put(column, value))


def _typed(column: Column, value: Value) -> Any:
    """Numbers as numbers: compared as text they would be compared as DOUBLE."""
    if column.form in {"number", "bits"} and isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else Decimal(value)
    return value


def _literal(column: Column, value: Value) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value) if column.form in {"number", "bits"} else _text_literal(str(value))


def _text_literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
