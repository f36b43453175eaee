"""Whether a PostgreSQL server's log can be archived, and what would endanger the server or the archive."""

import re
from typing import TYPE_CHECKING, Any

from backups.engines import _postgresql_physical_look as looking
from backups.engines._postgresql_address import Address, Connection
from backups.engines.base import Finding
from drcenter.errors import OperationFailed
from drcenter.process import find

if TYPE_CHECKING:
    from backups.engines._postgresql_logs import Policy

SETTINGS = """
SELECT current_setting('max_slot_wal_keep_size', true), current_setting('synchronous_standby_names'),
    current_setting('fsync'), current_setting('full_page_writes'),
    (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
    EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)
"""
# PostgreSQL 15 and newer; before, only a superuser may.
MAY_ALTER = """
SELECT CASE WHEN current_setting('server_version_num')::int >= 150000
        THEN has_parameter_privilege('synchronous_standby_names', 'ALTER SYSTEM') AND has_function_privilege('pg_reload_conf()', 'EXECUTE')
    ELSE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) END
"""
GRANT = (
    "To let the DR Center do it: GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO its user; GRANT EXECUTE ON"
    " FUNCTION pg_reload_conf TO its user; (PostgreSQL 15 and newer; before, only a superuser may)."
)


def look(connection: Connection, address: Address, name: str, policy: "Policy") -> list[Finding]:
    """Raises OperationFailed when the tool is missing, or the server out of reach."""
    find("pg_receivewal")
    known = looking.facts(connection)
    try:
        looking.refuse(known | {"tablespaces": None}, address)
    except OperationFailed as error:
        return [
            Finding(
                error.message,
                error.hint + " Without replication: let a plan take dumps more often.",
                caps=True,
            )
        ]
    row = connection.execute(SETTINGS.encode(), (name,)).fetchone()
    assert row is not None  # noqa: S101
    return [
        *_slots(row), *_synchronous(str(row[1]), name, policy), *_letting_go(connection, policy), *_durable(row)
    ]  # fmt: skip


def alone(names: str, name: str) -> bool:
    """Whether synchronous_standby_names waits for `name`, and for nobody else."""
    inside = re.fullmatch(r"(?:(?:FIRST|ANY)\s+)?\d+\s*\((.*)\)", names.strip(), re.IGNORECASE)
    return (inside[1] if inside else names).strip().strip('"') == name


def _letting_go(connection: Connection, policy: "Policy") -> list[Finding]:
    if not policy.synchronous or not policy.wait_seconds:
        return []
    row = connection.execute(MAY_ALTER.encode()).fetchone()
    if row and row[0]:
        return []
    return [
        Finding(
            "While the archive stands still every COMMIT waits, and the source's user may not let them go on.",
            GRANT,
        )
    ]


def _slots(row: tuple[Any, ...]) -> list[Finding]:
    kept, _names, _fsync, _pages, used, most, has_one = row
    found = []
    if not has_one and used >= most:
        found.append(
            Finding(f"All of the server's {most} replication slots are taken.",
                    "Drop those that nobody uses (SELECT * FROM pg_replication_slots), or raise max_replication_slots and"
                    " restart the server.", caps=True)
        )  # fmt: skip
    if kept == "-1":
        found.append(
            Finding("max_slot_wal_keep_size is -1: if this archive dies with its machine, its slot keeps all of the"
                    " server's log, until the disk is full.",
                    "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf(); The archive then has a gap,"
                    " which it tells, rather than the server a full disk.")
        )  # fmt: skip
    return found


def _synchronous(names: str, name: str, policy: "Policy") -> list[Finding]:
    if policy.synchronous and name not in names:
        return [
            Finding("The source asks for a synchronous archive, and the server does not wait for it: what was committed in"
                    " the last seconds could be lost.",
                    f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({name})'; SELECT pg_reload_conf(); Every"
                    " COMMIT then waits while the archive is away; to let them go on: ALTER SYSTEM RESET"
                    " synchronous_standby_names; SELECT pg_reload_conf();")
        ]  # fmt: skip
    if not policy.synchronous and name in names:
        return [
            Finding("The server waits for this archive (synchronous_standby_names), which does not flush at once: every"
                    " COMMIT takes long.", "Choose a synchronous archive in the source, or remove the name there.")
        ]  # fmt: skip
    return []


def _durable(row: tuple[Any, ...]) -> list[Finding]:
    off = [name for name, value in (("fsync", row[2]), ("full_page_writes", row[3])) if value == "off"]
    if not off:
        return []
    return [
        Finding(
            f"{' and '.join(off)} is off: after a crash the server itself may not come up.", "Switch it on."
        )
    ]
