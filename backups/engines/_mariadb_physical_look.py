"""What a physical backup needs to know of a MariaDB server, and what an operator should."""

import os
from pathlib import Path
from typing import Any

from backups.engines._mariadb_commands import Tool
from backups.engines._mariadb_connect import Connection, execute
from backups.engines._mariadb_physical_snapshot import NO_LOG, SYSTEM
from backups.engines._mariadb_rights import EVERYTHING, rights_on
from backups.engines.base import Finding
from backups.servers.mariadb import parse_version
from drcenter.errors import OperationFailed

# To copy; to compare.
NEEDED = ("RELOAD", "PROCESS", "BINLOG MONITOR", "SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
FACTS = "SELECT VERSION(), @@log_bin, @@datadir, @@lower_case_table_names, CURRENT_USER()"
SIZES = (
    "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE',"
    " 'SYSTEM VERSIONED')"
)


def facts(connection: Connection, directory: str) -> dict[str, Any]:
    """`directory`: where the server's data are for us; empty: where they are for the server."""
    ((version, binlog, datadir, lower_case, user),) = execute(connection, FACTS)
    server = parse_version(str(version))
    ((size,),) = execute(connection, SIZES)
    names = [str(name) for (name,) in execute(connection, "SHOW DATABASES")]
    return {
        "version": str(version), "flavour": server.flavour, "series": server.series, "binlog": bool(binlog),
        "directory": directory or str(datadir), "lower_case_table_names": int(lower_case), "user": str(user),
        "databases": [name for name in names if name.lower() not in SYSTEM], "size": int(size or 0),
    }  # fmt: skip


def refuse(connection: Connection, known: dict[str, Any], tool: Tool) -> None:
    """Raises OperationFailed where no physical backup can be taken, with what to do."""
    if known["flavour"] != "mariadb":
        raise OperationFailed(
            "The server is MySQL, and mariabackup copies MariaDB alone.",
            "Use the engine MariaDB / MySQL.",
            permanent=True,
        )
    if parse_version(f"{tool.version}-mariadb").series != known["series"]:
        raise OperationFailed(
            f"The server is MariaDB {known['version']}, and {tool.name} here is {tool.version}: it copies its own series alone.",
            f"Install mariadb-backup of version {known['series']}.",
            permanent=True,
        )
    _refuse_rights(connection, known)
    _refuse_directory(known)


def _refuse_rights(connection: Connection, known: dict[str, Any]) -> None:
    lines = [str(row[0]) for row in execute(connection, "SHOW GRANTS")]
    # Rights on one database do not count here: those of a database that nobody has.
    held = rights_on(lines, "\0")
    missing = [] if EVERYTHING in held else [right for right in NEEDED if right not in held]
    if missing:
        user, _, host = known["user"].rpartition("@")
        raise OperationFailed(
            f"The user {known['user']} lacks {', '.join(missing)} on the whole server.",
            f"GRANT {', '.join(missing)} ON *.* TO `{user}`@`{host}`;",
            permanent=True,
        )


def _refuse_directory(known: dict[str, Any]) -> None:
    directory = Path(known["directory"])
    first = directory / "ibdata1"
    if os.access(first, os.R_OK) and os.access(directory / "mysql", os.R_OK | os.X_OK):
        return
    raise OperationFailed(
        f"The data directory {directory} of the server cannot be read from here: mariabackup reads the files themselves,"
        " so it runs on the server's own machine, as the user mysql or as root.",
        "Run a worker there, as a user who may read it; or use the engine MariaDB / MySQL, which needs the connection alone.",
        permanent=True,
    )


def findings(known: dict[str, Any]) -> list[Finding]:
    return [] if known["binlog"] else [NO_LOG]
