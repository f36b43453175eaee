"""What a base backup needs to know of a PostgreSQL server, and what an operator should."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from backups.engines._postgresql_address import Address, Connection, replicating
from backups.engines.base import Finding
from backups.servers.postgresql_recovered import CARRIED
from drcenter.errors import OperationFailed

FACTS = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), current_user::text,
    (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user), pg_is_in_recovery(),
    (SELECT system_identifier::text FROM pg_control_system()),
    (SELECT rolname::text FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1),
    (SELECT sum(pg_database_size(oid))::bigint FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')),
    (SELECT jsonb_agg(datname::text ORDER BY oid) FROM pg_database
      WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT')),
    (SELECT jsonb_agg(spcname::text ORDER BY oid) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
    (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name = ANY(%s))
"""
SETTINGS = (*CARRIED, "wal_level", "max_wal_senders", "data_checksums", "wal_segment_size")
# Only a superuser, or a member of pg_read_all_settings, may see them.
PLACES = """
SELECT current_setting('data_directory', true),
    array[current_setting('config_file', true), current_setting('hba_file', true), current_setting('ident_file', true)]
"""


def facts(connection: Connection) -> dict[str, Any]:
    row = connection.execute(FACTS.encode(), (list(SETTINGS),)).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    names = (
        "major", "version", "user", "may_replicate", "standby", "system_identifier", "superuser", "size", "databases",
        "tablespaces", "settings",
    )  # fmt: skip
    return dict(zip(names, row, strict=True)) | {"outside": _outside(connection)}


def _outside(connection: Connection) -> list[str]:
    """Files of the configuration that lie outside of the data directory, as Debian has them."""
    with suppress(psycopg.errors.InsufficientPrivilege):
        row = connection.execute(PLACES.encode()).fetchone()
        if row and row[0]:
            return [path for path in row[1] if path and not path.startswith(f"{row[0].rstrip('/')}/")]
    return []


def refuse(known: Mapping[str, Any], address: Address) -> None:
    """Raises OperationFailed where no base backup can be taken, with what to do."""
    user = known["user"]
    if not known["may_replicate"]:
        raise OperationFailed(
            f"The user {user} may not replicate: a base backup travels over the replication protocol.",
            f'As a superuser: ALTER ROLE "{user}" REPLICATION; and in pg_hba.conf: hostssl replication {user} ADDRESS'
            " scram-sha-256. A managed service that grants no replication is backed up with the engine PostgreSQL.",
            permanent=True,
        )
    if known["tablespaces"]:
        raise OperationFailed(
            f"The server keeps data in tablespaces of its own ({', '.join(known['tablespaces'])}): they are directories"
            " outside of its data directory, which one stream cannot carry.",
            "Back its databases up with the engine PostgreSQL, or move the tables: ALTER DATABASE ... SET TABLESPACE"
            " pg_default.",
            permanent=True,
        )
    if known["standby"]:
        raise OperationFailed(
            f"{address.host} is a standby: a base backup is taken from the primary here.",
            "Name the primary, or the address that leads to it.",
            permanent=True,
        )
    if known["settings"]["wal_level"] == "minimal" or int(known["settings"]["max_wal_senders"]) < 1:
        raise OperationFailed(
            "The server is set up without replication (wal_level minimal, or max_wal_senders 0).",
            "ALTER SYSTEM SET wal_level = 'replica'; ALTER SYSTEM SET max_wal_senders = 10; then restart the server.",
            permanent=True,
        )
    _knock(address)


def _knock(address: Address) -> None:
    """pg_hba.conf has lines of its own for replication. Raises OperationFailed when none lets us in."""
    try:
        with replicating(address) as link:
            link.execute("IDENTIFY_SYSTEM")
    except OperationFailed as reason:
        raise OperationFailed(
            f"The server does not let this user replicate. {reason.message}",
            f"Add to pg_hba.conf: hostssl replication {address.user} ADDRESS scram-sha-256, and reload"
            " (SELECT pg_reload_conf()); see also max_wal_senders.",
            permanent=reason.permanent,
        ) from None


def findings(known: Mapping[str, Any]) -> list[Finding]:
    found = []
    if known["outside"]:
        found.append(Finding(
            f"The server's configuration lies outside of its data directory: {', '.join(known['outside'])}.",
            "A base backup does not hold it. Back the directory up as a source of files.",
        ))  # fmt: skip
    if known["settings"].get("data_checksums") == "off":
        found.append(Finding(
            "The server writes no checksums of its pages: a page that the disk has spoiled is copied unnoticed, into"
            " each base backup.",
            "With the server stopped: pg_checksums --enable --pgdata DIRECTORY. And keep logical dumps beside.",
        ))  # fmt: skip
    return found
