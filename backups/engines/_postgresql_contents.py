"""Rows and checksums of tables, large objects and sequences, computed by the server."""

from collections.abc import Iterable, Sequence
from hashlib import md5

from psycopg import sql

from backups.engines._postgresql_address import Connection
from backups.engines._postgresql_commands import quoted
from backups.engines._postgresql_objects import literal, render
from backups.engines._postgresql_rights import Relation, Scope
from backups.witness import Content
from drcenter.errors import OperationFailed

BLOCK = 4 << 20  # bytes of a large object in the server's memory at a time

# The columns in the order of their names, since a restored inherited table may have them in another.
# A row's text has every value as its type prints it, which is what a dump holds, with NULL apart from ''.
# The sum of a digest's halves does not depend on the order, and counts a row that is there twice, twice.
CHECKSUM = """
SELECT count(*), coalesce(sum(('x' || substr(d, 1, 16))::bit(64)::bigint), 0)::text
    || ':' || coalesce(sum(('x' || substr(d, 17, 16))::bit(64)::bigint), 0)::text
FROM (SELECT md5(ROW({columns})::text) AS d FROM ONLY {table} AS t) AS rows
"""

COLUMNS = """
SELECT n.nspname, c.relname, array_agg(a.attname ORDER BY a.attname) FILTER (WHERE a.attname IS NOT NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'm') AND <user schema> GROUP BY 1, 2
"""

REFRESHED = "A restore fills a materialized view anew: a stale one comes back refreshed."


def contents(
    connection: Connection, scope: Scope, schemas: Sequence[str]
) -> tuple[dict[str, Content], dict[str, str]]:
    """Each table's rows and checksum; and the tables that cannot be compared, with the reason."""
    found: dict[str, Content] = {}
    ignored: dict[str, str] = {}
    columns = {
        (row[0], row[1]): row[2] or [] for row in connection.execute(render(COLUMNS, schemas).encode())
    }
    for relation in scope.of_kind("rm"):
        reason = not_comparable(relation, scope)
        if reason:
            ignored[relation.label] = reason
        if _countable(relation, scope):
            found[relation.label] = table_content(
                connection, relation, columns[relation.schema, relation.name]
            )
    return found, ignored


def not_comparable(relation: Relation, scope: Scope) -> str:
    """Why the rows of this table are not part of the comparison; empty if they are."""
    if relation.extension is not None:
        return f"It belongs to the extension {relation.extension}, which makes it."
    if relation.kind == "m":
        return REFRESHED
    if scope.excluded(relation):
        return "The source's options leave its rows out."
    if not relation.readable:
        return "The backup's user may not read it: it is not in the dump."
    if relation.hidden:
        return "Row security hides rows from the backup's user: its rows are not in the dump."
    return ""


def _countable(relation: Relation, scope: Scope) -> bool:
    return not not_comparable(relation, scope) or (
        relation.kind == "m" and relation.readable and relation.extension is None
    )


def table_content(connection: Connection, relation: Relation, columns: Iterable[str]) -> Content:
    """How many rows, and the sum of their digests. A materialised view that was never filled has none."""
    names = ", ".join(f"t.{quoted(name)}" for name in columns)
    query = CHECKSUM.replace("{columns}", names).replace("{table}", relation.qualified)
    if relation.kind == "m":
        # One that was never filled refuses to be read.
        query = query.replace("ONLY ", "") if _populated(connection, relation) else "SELECT 0, '0:0'"
    row = connection.execute(query.encode()).fetchone()
    return Content(int(row[0]), str(row[1])) if row else Content(0, "0:0")


def _populated(connection: Connection, relation: Relation) -> bool:
    row = connection.execute(
        "SELECT relispopulated FROM pg_class WHERE oid = %s::regclass", (relation.qualified,)
    ).fetchone()
    return bool(row and row[0])


FIRST_BLOCKS = """
SELECT oid::bigint, octet_length(block), md5(block)
FROM (SELECT oid, lo_get(oid, 0, <block>) AS block FROM pg_largeobject_metadata OFFSET 0) AS first
""".replace("<block>", str(BLOCK))


def large_objects(connection: Connection) -> dict[str, Content]:
    """{"large object 16423": its bytes and a digest over the digests of its blocks}."""
    found = {}
    for number, size, first in connection.execute(FIRST_BLOCKS.encode()).fetchall():
        digests, total = [str(first)], int(size)
        while total and total % BLOCK == 0:
            row = connection.execute(
                "SELECT octet_length(b), md5(b) FROM lo_get(%s::oid, %s, %s) b", (number, total, BLOCK)
            ).fetchone()
            if not row or not row[0]:
                break
            digests.append(str(row[1]))
            total += int(row[0])
        checksum = md5("".join(digests).encode(), usedforsecurity=False).hexdigest()
        found[f"large object {number}"] = Content(total, checksum)
    return found


def sequence_values(connection: Connection, scope: Scope) -> dict[str, tuple[int, bool]]:
    """{qualified name: (last_value, is_called)}. Not of the snapshot: sequences stand outside of transactions."""
    found = {}
    for relation in scope.of_kind("S"):
        if relation.readable and relation.extension is None:
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(
                sql.Identifier(relation.schema, relation.name)
            )
            row = connection.execute(query).fetchone()
            if row:
                found[relation.qualified] = (int(row[0]), bool(row[1]))
    return found


def set_values(values: dict[str, tuple[int, bool]]) -> bytes:
    """SQL that sets these sequences, to follow a dump that read them earlier."""
    lines = [
        f"SELECT pg_catalog.setval({literal(name)}, {value}, {'true' if called else 'false'});\n"
        for name, (value, called) in values.items()
    ]
    return "".join(["\n-- Sequences that moved on while the dump ran.\n", *lines]).encode() if lines else b""


def count_rows(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Rows of each table, named `table` (in public, or else anywhere) or `schema.table`.

    Raises OperationFailed for one that is not there: after a restore, that is what has to be known.
    """
    tables = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY n.nspname <> 'public', n.nspname"
    ).fetchall()
    found: dict[str, int] = {}
    for name in names:
        place = next((one for one in tables if name in (f"{one[0]}.{one[1]}", one[1])), None)
        if place is None:
            raise OperationFailed(f"There is no table {name} to count.", "Check its name.", permanent=True)
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*place))
        row = connection.execute(query).fetchone()
        found[name] = int(row[0]) if row else 0
    return found
