"""One moment of a PostgreSQL database: the dump and the witness read the same exported snapshot."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from django.utils import timezone

from backups.engines._postgresql_address import Address, Connection, connected, explained
from backups.engines._postgresql_commands import (
    MARKER,
    SMALLEST,
    VOLATILE,
    Selection,
    check_client,
    dump_command,
    find_client,
)
from backups.engines._postgresql_contents import contents, large_objects, sequence_values, set_values
from backups.engines._postgresql_globals import globals_sql
from backups.engines._postgresql_objects import objects, objects_of
from backups.engines._postgresql_rights import Relation, Scope, facts, look, rights_findings
from backups.engines._postgresql_tables import Chosen, frame_command, keys, require, tables_command
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.process import Command

TABLES_PER_LOCK = 500


@dataclass
class PostgresqlSnapshot(Snapshot):
    """Made by `opened`; its session, transaction and locks end with that context."""

    connection: Connection
    address: Address
    schemas: Sequence[str]
    scope: Scope
    facts: Mapping[str, Any]
    place: Mapping[str, Any]
    excluded: Sequence[str]
    only: Sequence[str] = ()
    chosen: Chosen | None = None
    name: str = ""
    values: dict[str, tuple[int, bool]] = field(default_factory=dict)
    later = True

    def take(self) -> None:
        """Export the snapshot, once. The transaction has only taken locks until now, so that this is its moment."""
        if self.name:
            return
        with self._understood():
            row = self.connection.execute("SELECT pg_export_snapshot()").fetchone()
            if row is None:
                raise OperationFailed("The server did not export its snapshot.")
            self.name, self.taken_at = str(row[0]), timezone.now()
            # Again, in the snapshot: tables may have come and rights may have gone since.
            found = look(self.connection, self.schemas, self.excluded)
            self.scope, self.chosen = _narrowed(self.connection, found, self.only)
            self.values = sequence_values(self.connection, self.scope)

    def parts(self) -> Iterator[PartSpec]:
        if not self.name:
            self.ready()
        self.take()
        yield PartSpec("globals", "sql", (self._globals,), smallest=SMALLEST, again=True)
        if self.chosen is not None:
            yield from self._parts_of(self.chosen)
            return
        # pg_dump's main part, then the sequences that moved on in the meantime, as the witness has them.
        yield PartSpec(
            "database", "sql", (self._dump(), self._late_values),
            marker=MARKER, volatile=VOLATILE, smallest=SMALLEST, again=True,
        )  # fmt: skip

    def _parts_of(self, chosen: Chosen) -> Iterator[PartSpec]:
        """Some tables alone: what they stand on, for a place that has nothing; and the tables."""
        tool = find_client("pg_dump", self.facts["major"])
        frame = frame_command(tool, self.address, self.name, self.schemas)
        yield PartSpec("frame", "sql", (frame,), volatile=VOLATILE, smallest=SMALLEST, again=True)
        hidden = [one.qualified for one in self.scope.hidden]
        tables = tables_command(tool, self.address, self.name, chosen, hidden)
        yield PartSpec(
            "database", "sql",
            (tables, partial(keys, tool, self.address, self.name, chosen), self._late_values),
            marker=MARKER, volatile=VOLATILE, smallest=SMALLEST, again=True,
        )  # fmt: skip

    def _dump(self) -> Command:
        unreadable = self.scope.unreadable
        without = [one.qualified for one in unreadable if one.kind != "S"]
        rows = [one for one in self.scope.of_kind("rp") if self.scope.excluded(one)] + self.scope.hidden
        rows += [one for one in unreadable if one.kind == "S"]
        selection = Selection(
            self.schemas, without, [one.qualified for one in rows], not self.scope.large_objects_hidden
        )
        return dump_command(find_client("pg_dump", self.facts["major"]), self.address, self.name, selection)

    def _globals(self) -> Iterator[bytes]:
        with self._understood():
            yield from globals_sql(self.connection, superuser=bool(self.facts["superuser"]))

    def _late_values(self) -> Iterator[bytes]:
        """Sequences stand outside of snapshots: pg_dump saw them at some later moment than this.

        A value that is further than the rows is safe; one that was read twice and is equal is the dump's.
        """
        with self._understood():
            now = sequence_values(self.connection, self.scope)
        moved = {name: value for name, value in now.items() if self.values.get(name) != value}
        self.values = now
        yield set_values(moved)

    def witness(self) -> Witness:
        with self._understood():
            return witness_of(self.connection, self.scope, self.schemas, self.values, self.chosen)

    @property
    def position(self) -> Mapping[str, Any]:
        return self.place

    def findings(self) -> Sequence[Finding]:
        return rights_findings(self.scope, self.facts["user"])

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise explained(error, self.address) from None


@contextmanager
def opened(
    address: Address, schemas: Sequence[str], excluded: Sequence[str], only: Sequence[str] = ()
) -> Iterator[PostgresqlSnapshot]:
    """Lock against changes of tables (never of rows); the snapshot that `take` exports is held as long.

    Raises OperationFailed when the server is out of reach, newer than pg_dump, or a table stays locked.
    """
    with connected(address) as connection:
        known = facts(connection)
        check_client(known["major"])
        if only:
            require(connection, only)
        scope, chosen = _narrowed(connection, look(connection, schemas, excluded), only)
        # At the moment, or a little before it: what is in the log after it may be in the snapshot already.
        place = _position(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Before the snapshot: TRUNCATE and ALTER TABLE in between would show, whatever the snapshot says.
        lock_tables(
            connection, [one for one in scope.of_kind("rp") if one.readable and one.extension is None]
        )
        try:
            yield PostgresqlSnapshot(
                connection, address, schemas, scope, known, place, excluded, only, chosen
            )
        finally:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")


def _narrowed(connection: Connection, scope: Scope, only: Sequence[str]) -> tuple[Scope, Chosen | None]:
    if not only:
        return scope, None
    chosen = Chosen(connection, only)
    return scope.only(chosen.labels), chosen


def lock_tables(connection: Connection, tables: Sequence[Relation]) -> None:
    for start in range(0, len(tables), TABLES_PER_LOCK):
        names = ", ".join(f"ONLY {one.qualified}" for one in tables[start : start + TABLES_PER_LOCK])
        connection.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE".encode())


def _position(connection: Connection) -> dict[str, Any]:
    """Where the log is; some managed services have none to show."""
    place: dict[str, Any] = {"time": datetime.datetime.now(datetime.UTC).isoformat()}
    with suppress(psycopg.Error):
        row = connection.execute(
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
        ).fetchone()
        if row and row[0]:
            place["lsn"] = row[0]
    return place


def current_witness(
    address: Address, schemas: Sequence[str], excluded: Sequence[str], only: Sequence[str] = ()
) -> Witness:
    """What the database holds now, in a moment of its own. Raises OperationFailed."""
    with connected(address) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        scope, chosen = _narrowed(connection, look(connection, schemas, excluded), only)
        values = sequence_values(connection, scope)
        witness = witness_of(connection, scope, schemas, values, chosen)
        connection.execute("ROLLBACK")
        return witness


def witness_of(
    connection: Connection, scope: Scope, schemas: Sequence[str], values: Mapping[str, tuple[int, bool]],
    chosen: Chosen | None = None,
) -> Witness:  # fmt: skip
    """Definitions, rights, rows, large objects and sequences, as `connection` sees them; of the chosen tables alone."""
    definitions = objects(connection, schemas) if chosen is None else objects_of(connection, chosen.numbers)
    for name, (value, called) in values.items():
        definitions[f"sequence value {name}"] = f"{value} {'used' if called else 'unused'}"
    rows, ignored = contents(connection, scope, schemas)
    ignored |= {f"table {one.qualified}": "The backup's user may not read it." for one in scope.unreadable}
    if chosen is not None:
        ignored |= chosen.ignored()
    elif not schemas:
        if scope.large_objects_hidden:
            ignored["large objects"] = "The backup's user may not read all of them: none is in the dump."
        else:
            rows |= large_objects(connection)
        ignored |= _left_out(connection)
    return Witness(definitions, rows, ignored)


def _left_out(connection: Connection) -> dict[str, str]:
    ignored = {}
    versions = connection.execute("SELECT quote_ident(extname), extversion FROM pg_extension").fetchall()
    for name, version in versions:
        ignored[f"extension version {name}"] = (
            f"A restore installs the version that the server offers (source: {version})."
        )
    subscriptions = connection.execute(
        "SELECT quote_ident(subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database()"
    ).fetchall()
    for (name,) in subscriptions:
        ignored[f"subscription {name}"] = "Left out on purpose: a restored one would start to replicate."
    return ignored
