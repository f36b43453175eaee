"""Rows of a PostgreSQL database: compared by checksums of the server, streamed, and written conditionally.

Every value travels as the text that its type prints, under the settings of a dump, and comes back through a cast.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.utils.translation import gettext as _

from backups.engines._postgresql_address import Address, Connection, connected, explained
from backups.engines._postgresql_commands import qualified, quoted
from backups.engines._postgresql_objects import literal
from backups.rows.merge import Row
from backups.rows.session import Bucket, OutcomeUnknown, Refused, Session
from backups.rows.shape import Column, ForeignKey, Shape
from backups.rows.statements import Bound, Dialect, Statement, rendered
from backups.rows.values import Value, Values
from drcenter.errors import OperationFailed

BATCH = 500
TABLES = """
SELECT n.nspname, c.relname, c.relkind, c.oid::bigint, greatest(c.reltuples, 0)::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%%'
AND n.nspname <> 'information_schema' ORDER BY 1, 2
"""
COLUMNS = """
SELECT attname, pg_catalog.format_type(atttypid, atttypmod), attgenerated, attidentity
FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
KEYS = """
SELECT i.indisprimary, array_agg(a.attname ORDER BY k.place), bool_and(a.attnotnull)
FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
AND k.place <= i.indnkeyatts GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indexrelid
"""
LINKS = """
SELECT c.conname, c.conrelid::bigint, c.confrelid::bigint,
 (SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k(n, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n),
 (SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY k(n, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n)
FROM pg_catalog.pg_constraint c WHERE c.contype = 'f' AND c.<side> = %s AND c.conparentid = 0 ORDER BY 1
"""
TRIGGERS = """
SELECT tgname FROM pg_catalog.pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1
"""


@contextmanager
def opened(address: Address, *, write: bool) -> Iterator[Session]:
    with connected(address) as connection:
        if not write:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield PostgreSQLSession(connection, address)


class PostgreSQLSession(Session):
    def __init__(self, connection: Connection, address: Address) -> None:
        self._connection, self._address = connection, address
        # {label: (schema, name, kind, number, rows about)}
        self._known = {
            f"{row[0]}.{row[1]}": row
            for row in connection.execute(TABLES.replace("%%", "%").encode()).fetchall()
        }
        self.dialect = Dialect(
            quoted, self._target, _put, _same, _find, _one, insert_words="OVERRIDING SYSTEM VALUE "
        )

    def tables(self) -> list[str]:
        return list(self._known)

    def _place(self, table: str) -> Any:
        if table not in self._known:
            raise OperationFailed(
                _("There is no table %(table)s in %(place)s.")
                % {"table": table, "place": self._address.database},
                _("If it was renamed since, name it with --counterpart."), permanent=True,
            )  # fmt: skip
        return self._known[table]

    def _target(self, table: str) -> str:
        schema, name, *_rest = self._place(table)
        return qualified(schema, name)

    def _from(self, table: str) -> str:
        """Tables that inherit hold rows of their own; those of partitions belong to the table."""
        return f"{'ONLY ' if self._place(table)[2] == 'r' else ''}{self._target(table)}"

    def shape(self, table: str) -> Shape:
        _schema, _name, _kind, number, rows = self._place(table)
        ask = self._connection.execute
        columns = tuple(
            Column(name, kind, "text", bool(generated), identity == "a")
            for name, kind, generated, identity in ask(COLUMNS.encode(), (number,)).fetchall()
        )
        primary: tuple[str, ...] = ()
        uniques = []
        for is_primary, names, full in ask(KEYS.encode(), (number,)).fetchall():
            if is_primary:
                primary = tuple(names)
            elif full:
                uniques.append(tuple(names))
        triggers = tuple(str(row[0]) for row in ask(TRIGGERS.encode(), (number,)).fetchall())
        return Shape(
            table, columns, primary, tuple(uniques), self._links(number, "conrelid"),
            self._links(number, "confrelid"), triggers, int(rows),
        )  # fmt: skip

    def _links(self, number: int, side: str) -> tuple[ForeignKey, ...]:
        labels = {row[3]: label for label, row in self._known.items()}
        rows = self._connection.execute(LINKS.replace("<side>", side).encode(), (number,)).fetchall()
        return tuple(
            ForeignKey(name, labels[child], tuple(columns), labels[parent], tuple(others))
            for name, child, parent, columns, others in rows
            if child in labels and parent in labels
        )

    # ------------------------------------------------------------------ reading

    def buckets(self, table: str, columns: Sequence[Column], key: Sequence[int]) -> dict[int, Bucket]:
        query = (
            "SELECT ('x' || substr(k, 1, 4))::bit(16)::int, count(*),"  # noqa: S608 - quoted
            " sum(('x' || substr(d, 1, 16))::bit(64)::bigint)::text || ':' ||"
            " sum(('x' || substr(d, 17, 16))::bit(64)::bigint)::text"
            f" FROM (SELECT {_digest(columns, key)} AS k, {_digest(columns, ())} AS d FROM {self._from(table)}"
            " OFFSET 0) AS r GROUP BY 1"
        )
        return {int(row[0]): Bucket(int(row[1]), str(row[2])) for row in self._streamed(query)}

    def rows(
        self, table: str, columns: Sequence[Column], key: Sequence[int], buckets: Sequence[int] | None
    ) -> Iterator[Row]:
        digest = _digest(columns, key)
        reads = ", ".join(_read(column) for column in columns)
        query = f'SELECT {digest} COLLATE "C" AS drc_digest, {reads} FROM {self._from(table)}'  # noqa: S608
        if buckets is not None:
            numbers = ", ".join(str(int(number)) for number in buckets)
            query += f" WHERE ('x' || substr({digest}, 1, 4))::bit(16)::int IN ({numbers})"
        for digest, *values in self._streamed(f"{query} ORDER BY 1"):
            yield Row(digest, tuple(values))

    def lookup(
        self, table: str, columns: Sequence[Column], by: Sequence[Column], values: Sequence[Values]
    ) -> Iterator[Values]:
        reads = ", ".join(_read(column) for column in columns)
        for start in range(0, len(values), BATCH):
            wanted = self.dialect.any_of(by, values[start : start + BATCH])
            query, bound = rendered((f"SELECT {reads} FROM {self._from(table)} WHERE ", *wanted), "%s")  # noqa: S608
            yield from self._connection.execute(query.encode(), bound).fetchall()

    def _streamed(self, query: str) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name="drcenter_rows") as cursor:
            cursor.itersize = 2000
            cursor.execute(query.encode())
            yield from cursor

    def count(self, statement: Statement) -> int:
        text, values = rendered(statement, "%s")
        row = self._connection.execute(text.encode(), values).fetchone()
        return int(row[0]) if row else 0

    # ------------------------------------------------------------------ writing

    def execute(self, statement: Statement) -> int:
        text, values = rendered(statement, "%s")
        try:
            with self._connection.transaction():
                return self._connection.execute(text.encode(), values).rowcount
        except (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException) as error:
            linked = isinstance(error, psycopg.errors.ForeignKeyViolation)
            raise Refused(" ".join(str(error).split()), linked=linked) from None

    @contextmanager
    def transaction(self, *, quiet: bool = False) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            if quiet:
                self._connection.execute("SET LOCAL session_replication_role = replica")
            yield
        except BaseException:
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise
        try:
            self._connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            raise OutcomeUnknown(
                _("The connection was lost while the transaction was committed: %(error)s") % {"error": error}
            ) from None
        except psycopg.Error as error:
            raise explained(error, self._address) from None


def _read(column: Column) -> str:
    return f"{quoted(column.name)}::text"


def _digest(columns: Sequence[Column], key: Sequence[int]) -> str:
    names = ", ".join(quoted(column.name) for column in ([columns[at] for at in key] or columns))
    return f"md5(ROW({names})::text)"


def _put(column: Column, value: Value) -> Statement:
    if value is None:
        return (f"NULL::{column.type}",)
    return (Bound(value, literal(str(value))), f"::{column.type}")


def _same(column: Column, value: Value) -> Statement:
    name = quoted(column.name)
    if value is None:
        return (f"{name} IS NULL",)
    return (f"{name}::text = ", Bound(value, literal(str(value))), "::text")


def _find(column: Column, value: Value) -> Statement:
    if value is None:
        return (f"{quoted(column.name)} IS NULL",)
    return (f"{quoted(column.name)} = ", *_put(column, value))


def _one(table: str, condition: Statement) -> Statement:
    return (
        f"(tableoid, ctid) = (SELECT tableoid, ctid FROM {table} WHERE ", *condition, " LIMIT 1 FOR UPDATE)",  # noqa: S608
    )  # fmt: skip
