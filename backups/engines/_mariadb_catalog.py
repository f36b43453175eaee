"""What stands in a database: its tables, columns and other objects, from information_schema."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from backups.engines._mariadb_columns import Column
from backups.engines._mariadb_connect import Connection, execute


@dataclass(frozen=True)
class Table:
    """`kind` is information_schema's TABLE_TYPE: BASE TABLE, SYSTEM VERSIONED, SEQUENCE, VIEW."""

    name: str
    kind: str
    engine: str
    auto_increment: int | None
    size: int

    @property
    def has_rows(self) -> bool:
        return self.kind in {"BASE TABLE", "SYSTEM VERSIONED"}

    @property
    def versioned(self) -> bool:
        return self.kind == "SYSTEM VERSIONED"


class Catalog:
    """One look at `database`, narrowed to `only` if given; each list is read once, when first asked for."""

    def __init__(self, connection: Connection, database: str, only: Collection[str] = ()) -> None:
        self.connection = connection
        self.database = database
        self.only = frozenset(only)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return execute(self.connection, statement, *values)

    @cached_property
    def all_tables(self) -> list[Table]:
        rows = self.query(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, AUTO_INCREMENT, COALESCE(DATA_LENGTH, 0)"
            " FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
            self.database,
        )
        tables = [
            Table(name, kind, engine or "", number, int(size)) for name, kind, engine, number, size in rows
        ]
        return [table for table in tables if not self.only or table.name in self.only]

    @property
    def tables(self) -> list[Table]:
        return [table for table in self.all_tables if table.has_rows]

    @property
    def views(self) -> list[str]:
        return [table.name for table in self.all_tables if table.kind == "VIEW"]

    @property
    def sequences(self) -> list[str]:
        return [table.name for table in self.all_tables if table.kind == "SEQUENCE"]

    @cached_property
    def columns(self) -> dict[str, list[Column]]:
        rows = self.query(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, EXTRA FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION",
            self.database,
        )
        columns: dict[str, list[Column]] = {}
        for table, name, kind, extra in rows:
            columns.setdefault(table, []).append(Column(name, kind.lower(), (extra or "").upper()))
        return columns

    @cached_property
    def transactional_engines(self) -> frozenset[str]:
        rows = self.query("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'")
        return frozenset(engine for (engine,) in rows)

    @property
    def unsafe_tables(self) -> list[Table]:
        """Tables that no transaction protects: a dump of them is of no single moment."""
        return [table for table in self.tables if table.engine not in self.transactional_engines]

    @property
    def float_tables(self) -> list[Table]:
        return [table for table in self.tables if any(column.single for column in self.columns[table.name])]

    @cached_property
    def routines(self) -> list[tuple[str, str]]:
        """(PROCEDURE, FUNCTION, PACKAGE or PACKAGE BODY; name), as far as this user may see them."""
        if self.only:
            return []
        rows = self.query(
            "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES"
            " WHERE ROUTINE_SCHEMA = %s ORDER BY ROUTINE_TYPE, ROUTINE_NAME",
            self.database,
        )
        return [(str(kind), str(name)) for kind, name in rows]

    @cached_property
    def triggers(self) -> list[str]:
        rows = self.query(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS"
            " WHERE TRIGGER_SCHEMA = %s ORDER BY TRIGGER_NAME",
            self.database,
        )
        return [str(name) for name, table in rows if not self.only or table in self.only]

    @cached_property
    def events(self) -> list[str]:
        if self.only:
            return []
        rows = self.query(
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s ORDER BY EVENT_NAME",
            self.database,
        )
        return [str(name) for (name,) in rows]

    def definers(self) -> list[tuple[str, str]]:
        """(user, host) of everybody in whose name something of this database runs."""
        parts = [
            "SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %(name)s",
            "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %(name)s",
            "SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %(name)s",
            "SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %(name)s",
        ]
        statement = " UNION ".join(parts[:1] if self.only else parts)
        with self.connection.cursor() as cursor:
            cursor.execute(statement, {"name": self.database})
            found = {str(definer) for (definer,) in cursor.fetchall() if definer}
        return sorted(split_account(definer) for definer in found)


def split_account(text: str) -> tuple[str, str]:
    """("user", "host") from `user@host`; a role has no host."""
    user, separator, host = text.rpartition("@")
    return (user, host) if separator else (host, "")


def names(tables: Sequence[Table]) -> list[str]:
    return [table.name for table in tables]
