"""The metadata of a MariaDB or MySQL database: its schema without rows, and statistics of its tables."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import pymysql.cursors
from django.utils.translation import gettext_lazy as _

from backups.engines import mariadb
from backups.engines._mariadb_catalog import Catalog
from backups.engines._mariadb_commands import MARKER, VOLATILE, schema_command
from backups.engines._mariadb_connect import dump_tool, explained
from backups.engines._mariadb_witness import database_options, definitions_of
from backups.engines._schema import (
    BYTES_A_TABLE,
    SchemaOnly,
    content_of,
    statistics_part,
    statistics_text,
)
from backups.engines.base import Inspection, PartSpec, Snapshot
from backups.witness import Witness

QUERY = """
SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine, TABLE_ROWS AS about_rows, DATA_LENGTH AS data_bytes,
       INDEX_LENGTH AS index_bytes, DATA_FREE AS free_bytes, AUTO_INCREMENT AS next_number,
       TABLE_COLLATION AS collation, CREATE_TIME AS created_at, UPDATE_TIME AS updated_at
FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME
"""


class Plugin(SchemaOnly, mariadb.Plugin):
    label = cast(str, _("MariaDB / MySQL: schema and statistics only"))
    # The definitions are read first, the dump after them: nobody is locked out of changing tables for that.
    one_moment = False

    def inspect(self) -> Inspection:
        found = super().inspect()
        with self._catalog() as catalog:
            count = len(catalog.all_tables)
        return Inspection(BYTES_A_TABLE * (count + 1), found.facts, found.findings)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with self._catalog() as catalog, explained(self._login):
            yield _Schema(self, catalog)

    def witness(self) -> Witness:
        with self._catalog() as catalog, explained(self._login):
            objects, ignored = definitions_of(catalog)
            return Witness(objects, self._seen.contents, ignored)

    def schema_part(self) -> PartSpec:
        command = schema_command(dump_tool(), self._login, self._selection)
        return PartSpec("database", "sql", (command,), marker=MARKER, volatile=VOLATILE, smallest=200)


class _Schema(Snapshot):
    position: Mapping[str, Any] = {}

    def __init__(self, engine: Plugin, catalog: Catalog) -> None:
        self._engine, self._catalog = engine, catalog
        with catalog.connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(QUERY, [catalog.database])
            rows = [row for row in cursor.fetchall() if not catalog.only or row["name"] in catalog.only]
        self._statistics = statistics_text(rows)
        self._objects, self._ignored = definitions_of(catalog)
        charset, collation = database_options(catalog).split(" ")
        self._settings = f"ALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n".encode()

    def parts(self) -> Iterator[PartSpec]:
        # Routines and events are made under the collation of their database.
        yield PartSpec("accounts", "sql", (partial(iter, (self._settings,)),))
        yield self._engine.schema_part()
        yield statistics_part(self._statistics)

    def witness(self) -> Witness:
        return Witness(self._objects, content_of(self._statistics), self._ignored)
