"""Whether a MariaDB server's binary log can be archived, and what would make a replay less than whole."""

from typing import Any

from backups.engines import _mariadb_rights as rights
from backups.engines._mariadb_accounts import account_name
from backups.engines._mariadb_connect import Connection, execute
from backups.engines.base import Finding
from backups.servers.mariadb import parse_version
from drcenter.process import find

# Logs have to stay on the server for as long as the archive may be away; in seconds.
LEAST_KEPT = 2 * 86_400
TOOL = "mariadb-binlog"
# Any of these lets a user list the log files.
LISTS_LOGS = frozenset({"BINLOG MONITOR", "REPLICATION CLIENT", "SUPER", rights.EVERYTHING})


def look(connection: Connection, database: str) -> list[Finding]:
    """Raises OperationFailed when the tool is missing; the driver's errors come through."""
    find(TOOL)
    version = parse_version(str(_value(connection, "VERSION()")))
    if version.flavour != "mariadb":
        return [Finding(f"The server is {version}: only MariaDB's binary log can be archived.",
                        "Let a plan take dumps more often instead.", caps=True)]  # fmt: skip
    if not int(_value(connection, "@@log_bin")):
        return [Finding("The server writes no binary log (log_bin is OFF).",
                        "Add under [mariadb]: log_bin, binlog_format=ROW, server_id=1; then restart the server.",
                        caps=True)]  # fmt: skip
    return [
        *_rights(connection),
        *_identity(connection),
        *_contents(connection, database),
        *_kept(connection),
    ]


def _value(connection: Connection, expression: str) -> Any:
    ((value,),) = execute(connection, f"SELECT {expression}")
    return value


def _rights(connection: Connection) -> list[Finding]:
    lines = [str(row[0]) for row in execute(connection, "SHOW GRANTS")]
    held = {right for line in lines if " ON *.* TO " in line for right in rights.rights_on([line], "*")}
    missing = []
    if not held & {"REPLICATION SLAVE", rights.EVERYTHING}:
        missing.append("REPLICATION SLAVE")
    if not held & LISTS_LOGS:
        missing.append("BINLOG MONITOR")
    if not missing:
        return []
    user, _, host = str(_value(connection, "CURRENT_USER()")).rpartition("@")
    name = account_name((user, host))
    grant = f"GRANT {', '.join(missing)} ON *.* TO {name};"
    return [
        Finding(f"The user {name} may not read the server's binary log: it lacks {' and '.join(missing)}.",
                f"{grant} (before MariaDB 10.5 the second right is called REPLICATION CLIENT)", caps=True)
    ]  # fmt: skip


def _identity(connection: Connection) -> list[Finding]:
    if int(_value(connection, "@@server_id")) != 0:
        return []
    return [Finding("The server's server_id is 0: nothing can be replicated from it.",
                    "Set under [mariadb] a server_id that no other server of yours has; then restart the server.",
                    caps=True)]  # fmt: skip


def _contents(connection: Connection, database: str) -> list[Finding]:
    found = []
    form, image = str(_value(connection, "@@binlog_format")), str(_value(connection, "@@binlog_row_image"))
    if form != "ROW":
        found.append(
            Finding(f"binlog_format is {form}: the log holds statements, and some of them do something else when they"
                    " run again (NOW(6), RAND(), LIMIT without an order, rows that another session had changed).",
                    "SET GLOBAL binlog_format=ROW; and the same under [mariadb]. Sessions that are open keep theirs.")
        )  # fmt: skip
    if image == "MINIMAL":
        found.append(
            Finding("binlog_row_image is MINIMAL: the log does not say what a changed or deleted row held before.",
                    "SET GLOBAL binlog_row_image=FULL; and the same under [mariadb], so that a change can be undone.")
        )  # fmt: skip
    if str(_value(connection, "@@binlog_checksum")) == "NONE":
        found.append(
            Finding("binlog_checksum is NONE: damage on the way from the server is not noticed.",
                    "SET GLOBAL binlog_checksum=CRC32; and the same under [mariadb].")
        )  # fmt: skip
    return [*found, *_filters(connection, database)]


def _filters(connection: Connection, database: str) -> list[Finding]:
    """Databases that the server leaves out of its log."""
    rows = execute(connection, "SHOW MASTER STATUS") if not _rights(connection) else []
    only, without = (str(rows[0][2]), str(rows[0][3])) if rows else ("", "")
    if (only and database not in only.split(",")) or database in without.split(","):
        return [Finding(f"The server leaves {database} out of its log (binlog_do_db or binlog_ignore_db).",
                        "Remove that setting, and restart the server.", caps=True)]  # fmt: skip
    return []


def _kept(connection: Connection) -> list[Finding]:
    found = dict(execute(connection, "SHOW GLOBAL VARIABLES LIKE '%expire_logs%'"))
    seconds = int(float(found.get("binlog_expire_logs_seconds") or 0))
    seconds = seconds or int(float(found.get("expire_logs_days") or 0) * 86_400)
    if not seconds or seconds >= LEAST_KEPT:
        return []
    return [
        Finding(f"The server removes its log files after {seconds / 3600:.0f} h: if the archive is away for longer, there"
                " is a gap.",
                f"SET GLOBAL expire_logs_days={LEAST_KEPT // 86_400 + 1}; and the same under [mariadb].")
    ]  # fmt: skip
