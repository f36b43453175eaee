"""Some tables of a PostgreSQL database alone: which they are, how they are dumped, and how they replace others.

A set of them has three parts more or less: `frame` makes schemas, types, functions and extensions where there are none
(a scratch server, a new database) and is left out over production; `database` makes the tables, with rows, indexes,
triggers and keys. A foreign key to a table that is not in the set is made where that table is there.
"""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from backups.engines._postgresql_address import Address, Connection
from backups.engines._postgresql_commands import VOLATILE, Selection, dump_command
from backups.engines._postgresql_objects import literal
from backups.engines.base import Finding, crossing_finding
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

# Every table that can be named: partitions come with the table that they are of.
LISTED = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1
"""

# The chosen tables, their partitions, and the sequences that belong to their columns.
CHOSEN = """
WITH RECURSIVE chosen AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY(%s)
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN chosen ON i.inhparent = chosen.oid
    JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition)
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, format('%%I.%%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT oid FROM chosen) OR (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid IN (SELECT oid FROM chosen) AND d.deptype IN ('a', 'i')))
ORDER BY 2, 3
"""

LINKS = """
SELECT k.conrelid::regclass || '.' || quote_ident(k.conname), k.conrelid::bigint, k.confrelid::bigint,
    k.conrelid::regclass::text, k.confrelid::regclass::text
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1
"""

# One entry of a dump, as pg_dump begins it.
ENTRY = re.compile(r"(?=^--\n-- Name: [^\n]*; Type: )", re.MULTILINE)
RESTRICTING = re.compile(r"^" + VOLATILE.decode() + r"\n", re.MULTILINE)
REFERENCES = re.compile(r"\bREFERENCES (.+?)\(")

# Keys of other tables that refer to these are made anew afterwards, and checked: rows that do not fit undo all.
CLEAR = """
DECLARE
  one record;
BEGIN
  SET LOCAL lock_timeout = '<patience>';
  PERFORM pg_catalog.set_config('search_path', '', true);
  CREATE TEMPORARY TABLE drcenter_keys (statement text) ON COMMIT DROP;
  FOR one IN SELECT k.conrelid::regclass::text AS child, k.conname AS name, pg_get_constraintdef(k.oid) AS text
      FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
      AND k.confrelid = ANY(<tables>) AND NOT k.conrelid = ANY(<tables>) LOOP
    INSERT INTO pg_temp.drcenter_keys VALUES (
        pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', one.child, one.name, one.text));
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', one.child, one.name);
  END LOOP;
  FOR one IN SELECT pg_catalog.string_agg(t::pg_catalog.regclass::text, ', ') AS names
      FROM pg_catalog.unnest(<tables>) t WHERE t IS NOT NULL HAVING count(*) > 0 LOOP
    EXECUTE 'DROP TABLE ' || one.names;
  END LOOP;
END
"""

KEYS_AGAIN = """
DECLARE
  one record;
BEGIN
  FOR one IN SELECT statement FROM pg_temp.drcenter_keys LOOP
    EXECUTE one.statement;
  END LOOP;
END
"""


def listed(connection: Connection) -> list[str]:
    return [str(row[0]) for row in connection.execute(LISTED.encode()).fetchall()]


def require(connection: Connection, tables: Sequence[str]) -> None:
    """Raises OperationFailed that names the tables which are not there."""
    if missing := set(tables) - set(listed(connection)):
        raise OperationFailed(
            f"The database has no table {', '.join(sorted(missing))}.",
            "Correct the list of tables in the source or the plan; write them as schema.table.",
            permanent=True,
        )


class Chosen:
    """What of the database is taken. `numbers`: of tables, partitions and sequences; `names`: of tables, quoted."""

    def __init__(self, connection: Connection, tables: Sequence[str]) -> None:
        rows = connection.execute(CHOSEN.encode(), (list(tables),)).fetchall()
        self.numbers = [int(row[0]) for row in rows]
        self.labels = frozenset(f"{row[1]}.{row[2]}" for row in rows)
        self.names = [str(row[4]) for row in rows if row[3] != "S"]
        inside = set(self.numbers)
        links = connection.execute(LINKS.encode()).fetchall()
        self.leading_out = [str(row[0]) for row in links if row[1] in inside and row[2] not in inside]
        self.crossing = [f"{row[3]} → {row[4]}" for row in links if (row[1] in inside) != (row[2] in inside)]

    def findings(self) -> list[Finding]:
        return [crossing_finding(sorted(set(self.crossing)))] if self.crossing else []

    def ignored(self) -> dict[str, str]:
        why = "It refers to a table that is not in the set."
        return {f"constraint {name}": why for name in self.leading_out}


def frame_command(pg_dump: str, address: Address, snapshot: str, schemas: Sequence[str]) -> Command:
    """Everything that tables stand on, and none of them."""
    selection = Selection(schemas, without=["*.*"], large_objects=False, sections=("pre-data",))
    return dump_command(pg_dump, address, snapshot, selection)


def tables_command(
    pg_dump: str, address: Address, snapshot: str, chosen: Chosen, without_rows: Sequence[str]
) -> Command:
    selection = Selection(
        without_rows=without_rows, large_objects=False, tables=chosen.names, sections=("pre-data", "data")
    )
    return dump_command(pg_dump, address, snapshot, selection)


def keys(pg_dump: str, address: Address, snapshot: str, chosen: Chosen) -> Iterator[bytes]:
    """Indexes, keys, triggers; those that lead out of the set only where they lead somewhere."""
    selection = Selection(large_objects=False, tables=chosen.names, sections=("post-data",))
    text = run(dump_command(pg_dump, address, snapshot, selection)).stdout.decode()
    # The first command's stand around all of it.
    text = RESTRICTING.sub("", text)
    yield "".join(_guarded(entry, chosen.names) for entry in ENTRY.split(text)).encode()


def _guarded(entry: str, names: Sequence[str]) -> str:
    if "; Type: FK CONSTRAINT; " not in entry.partition("\n\n")[0]:
        return entry
    match = REFERENCES.search(entry)
    if match is None or match[1] in names:
        return entry
    head, _blank, statement = entry.partition("\n\n")
    statement = statement.strip().removesuffix(";")
    there = f"pg_catalog.to_regclass({literal(match[1])})"
    return (
        f"{head}\n\nDO $drcenter_key$BEGIN IF {there} IS NOT NULL THEN EXECUTE {literal(statement)}; END IF; END"
        "$drcenter_key$;\n\n"
    )


def clear_statement(tables: Sequence[str], patience: str) -> str:
    """One statement that drops these tables, and none that depends on them."""
    names = [".".join(f'"{part}"' for part in name.replace('"', '""').split(".", 1)) for name in tables]
    numbers = ", ".join(f"pg_catalog.to_regclass({literal(name)})" for name in names)
    body = CLEAR.replace(
        "<tables>", f"pg_catalog.array_remove(ARRAY[{numbers}]::pg_catalog.oid[], NULL)"
    ).replace("<patience>", patience)
    return f"DO $drcenter_clear${body}$drcenter_clear$"


def keys_again() -> str:
    return f"DO $drcenter_keys${KEYS_AGAIN}$drcenter_keys$"


def discard(stream: BinaryIO) -> None:
    """Read a part to its end that this place does not need."""
    while stream.read(1 << 20):
        pass
