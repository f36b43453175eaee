"""The metadata of a PostgreSQL database: its schema without rows, and statistics of its tables."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from django.utils.translation import gettext_lazy as _
from psycopg.rows import dict_row

from backups.engines import postgresql
from backups.engines._postgresql_address import Connection, connected
from backups.engines._postgresql_objects import objects
from backups.engines._postgresql_snapshot import PostgresqlSnapshot, opened
from backups.engines._schema import (
    BYTES_A_TABLE,
    SchemaOnly,
    content_of,
    statistics_part,
    statistics_text,
)
from backups.engines.base import Finding, Inspection, PartSpec, Snapshot
from backups.witness import Witness
from drcenter.process import Command

QUERY = b"""
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, greatest(c.reltuples, 0)::bigint AS about_rows,
       pg_relation_size(c.oid) AS data_bytes, pg_indexes_size(c.oid) AS index_bytes,
       pg_total_relation_size(c.oid) AS total_bytes, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,
       s.n_tup_ins AS inserted, s.n_tup_upd AS updated, s.n_tup_del AS deleted, s.last_autovacuum, s.last_autoanalyze
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2
"""


WITHOUT_ROWS = "its definition counts its rows in, which are left out"


class Plugin(SchemaOnly, postgresql.Plugin):
    label = cast(str, _("PostgreSQL: schema and statistics only"))

    def inspect(self) -> Inspection:
        found = super().inspect()
        with connected(self._address) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'v')"
            ).fetchone()
        return Inspection(BYTES_A_TABLE * (int(row[0]) if row else 1), found.facts, found.findings)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with opened(self._address, self._schemas, ()) as moment:
            yield _Schema(moment, self._schemas)

    def witness(self) -> Witness:
        with connected(self._address) as connection:
            found, ignored = _definitions(connection, self._schemas)
            return Witness(found, self._seen.contents, ignored)


class _Schema(Snapshot):
    later = True

    def __init__(self, moment: PostgresqlSnapshot, schemas: Sequence[str]) -> None:
        self._moment = moment
        self._schemas = schemas

    def _take(self) -> None:
        self.ready()
        self._moment.take()
        self.taken_at = self._moment.taken_at
        with self._moment.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(QUERY).fetchall()
        wanted = [row for row in rows if not self._schemas or row["schema"] in self._schemas]
        self._statistics = statistics_text(wanted)
        self._objects, self._ignored = _definitions(self._moment.connection, self._schemas)

    def parts(self) -> Iterator[PartSpec]:
        self._take()
        for spec in self._moment.parts():
            commands = [one for one in spec.producers if isinstance(one, Command)]
            # The part of pg_dump; what follows it in a whole dump are values of sequences.
            yield (
                dataclasses.replace(spec, producers=tuple(map(_without_rows, commands))) if commands else spec
            )
        yield statistics_part(self._statistics)

    def witness(self) -> Witness:
        return Witness(self._objects, content_of(self._statistics), self._ignored)

    @property
    def position(self) -> Mapping[str, Any]:
        return self._moment.position

    def findings(self) -> Sequence[Finding]:
        return self._moment.findings()


def _without_rows(command: Command) -> Command:
    return dataclasses.replace(command, argv=(command.argv[0], "--schema-only", *command.argv[1:]))


def _definitions(connection: Connection, schemas: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Without large objects, which are data; and why some cannot be compared."""
    found = {
        name: text
        for name, text in objects(connection, schemas).items()
        if not name.startswith(("large object ", "comment on large object "))
    }
    return found, dict.fromkeys(
        (name for name in found if name.startswith("materialized view ")), WITHOUT_ROWS
    )
