"""Looking at a source before it is dumped: size, versions, and what the dump would lack."""

from collections.abc import Iterable
from typing import Any

from backups.engines import _mariadb_rights as rights
from backups.engines._mariadb_accounts import Account, account_name, read_accounts
from backups.engines._mariadb_catalog import Catalog, names
from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_commands import Login, Selection, Tool
from backups.engines._mariadb_connect import connected
from backups.engines._mariadb_witness import kinds_and_names
from backups.engines.base import Finding, Inspection, crossing_finding
from backups.servers.mariadb import Version, parse_version
from drcenter.errors import OperationFailed

# A private server has to be started with the same values, or the dump does not fit.
VARIABLES = ("lower_case_table_names", "character_set_server", "collation_server", "innodb_page_size")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SHOWN_TABLES = 5


def look(catalog: Catalog, login: Login, tool: Tool, *, hold_unsafe: bool) -> Inspection:
    """Raises OperationFailed when a selected table does not exist; the driver's errors come through."""
    _check_selection(catalog)
    ((version, binlog),) = catalog.query("SELECT VERSION(), @@log_bin")
    server = parse_version(str(version))
    facts: dict[str, Any] = {
        "flavour": server.flavour,
        "version": str(version),
        "series": server.series,
        "tool": f"{tool.name} {tool.version}",
        "binlog": bool(binlog),
        "tables": len(catalog.tables),
        **_variables(catalog),
    }
    findings = [
        *_rights(catalog),
        *read_accounts(catalog).findings,
        *_tables(catalog, tool, hold_unsafe=hold_unsafe),
        *_links(catalog),
        *_tools(server, tool),
        *_transport(login),
    ]
    return Inspection(sum(table.size for table in catalog.tables), facts, findings)


def _check_selection(catalog: Catalog) -> None:
    if missing := catalog.only - {table.name for table in catalog.all_tables}:
        raise OperationFailed(
            f"The database {catalog.database} has no table {', '.join(sorted(missing))}.",
            "Correct the list of tables in the source, or check the user's rights.",
            permanent=True,
        )


def _variables(catalog: Catalog) -> dict[str, str]:
    wanted = ", ".join(f"@@{name}" for name in VARIABLES)
    (values,) = catalog.query(f"SELECT {wanted}")
    return {name: str(value) for name, value in zip(VARIABLES, values, strict=True)}


def _rights(catalog: Catalog) -> list[Finding]:
    account = _own_account(catalog)
    lines = _grants(catalog)
    if not catalog.only:
        return rights.findings(lines, catalog.database, account, bodies_readable=_bodies_readable(catalog))
    missing = [right for right in rights.missing_rights(lines, catalog.database) if right != "EVENT"]
    still = [right for right in missing if not _on_each_table(lines, catalog, right)]
    if not still:
        return []
    hint = f"GRANT {', '.join(still)} ON {quoted(catalog.database)}.* TO {account_name(account)};"
    return [Finding(f"The user {account_name(account)} lacks {', '.join(still)}.", hint, caps=True)]


def _own_account(catalog: Catalog) -> Account:
    ((text,),) = catalog.query("SELECT CURRENT_USER()")
    user, _, host = str(text).rpartition("@")
    return user, host


def check_may_overwrite(login: Login, selection: Selection, objects: Iterable[str] = ()) -> None:
    """Raises OperationFailed, with the GRANT to give, unless this user may drop what is there, and make and fill the
    tables and these `objects` of the set ("trigger t", "view v")."""
    with connected(login) as connection:
        catalog = Catalog(connection, selection.database, selection.tables)
        tables = selection.tables or names(catalog.tables)
        there = [f"{kind.lower()} {name}" for kind, name in kinds_and_names(catalog)]
        asked = rights.to_overwrite([*objects, *there])
        missing = rights.missing_to_overwrite(_grants(catalog), selection.database, tables, asked)
        if missing:
            name = account_name(_own_account(catalog))
            raise OperationFailed(
                f"The user {name} may not overwrite the database {selection.database} at {login.place}:"
                f" it lacks {', '.join(missing)}.",
                "Let the source sign in as a user who may (the application's own), or grant it for the restore:"
                f" GRANT ALL PRIVILEGES ON {quoted(selection.database)}.* TO {name};",
                permanent=True,
            )


def _grants(catalog: Catalog) -> list[str]:
    return [str(row[0]) for row in catalog.query(_show_grants(catalog))]


def _show_grants(catalog: Catalog) -> str:
    """MariaDB shows the rights of the active role by itself, MySQL when it is named."""
    ((text,),) = catalog.query("SELECT VERSION()")
    version = parse_version(str(text))
    if version.flavour == "mysql" and _series(version.number) >= (8, 0):
        ((role,),) = catalog.query("SELECT CURRENT_ROLE()")
        if role and role != "NONE":
            return f"SHOW GRANTS FOR CURRENT_USER() USING {role}"
    return "SHOW GRANTS"


def _on_each_table(lines: list[str], catalog: Catalog, right: str) -> bool:
    return all(right in rights.rights_on(lines, catalog.database, table) for table in catalog.only)


def _bodies_readable(catalog: Catalog) -> bool:
    rows = catalog.query(
        "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s"
        " AND ROUTINE_DEFINITION IS NULL",
        catalog.database,
    )
    return int(rows[0][0]) == 0


def _tables(catalog: Catalog, tool: Tool, *, hold_unsafe: bool) -> list[Finding]:
    found = []
    if unsafe := names(catalog.unsafe_tables):
        found.append(_unsafe(catalog, unsafe, hold=hold_unsafe))
    versioned = names([table for table in catalog.tables if table.versioned])
    if versioned and not tool.knows("--dump-history"):
        found.append(
            Finding(f"{tool.name} {tool.version} leaves out the old rows of {_listed(versioned)}.",
                    "Install the client tools of MariaDB 10.11 or newer.", caps=True)
        )  # fmt: skip
    if catalog.float_tables and not tool.knows("--ignore-table-data"):
        found.append(
            Finding(f"{tool.name} rounds the FLOAT columns of {_listed(names(catalog.float_tables))} to six digits.",
                    "Install the client tools of MariaDB, or change the columns to DOUBLE.", caps=True)
        )  # fmt: skip
    return found


def _links(catalog: Catalog) -> list[Finding]:
    """Foreign keys between a selected table and one that is not."""
    if not catalog.only:
        return []
    rows = catalog.query(
        "SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = %s ORDER BY 1, 2",
        catalog.database,
    )
    crossing = [
        f"{child} → {parent}" for child, parent in rows if (child in catalog.only) != (parent in catalog.only)
    ]
    return [crossing_finding(crossing)] if crossing else []


def _unsafe(catalog: Catalog, unsafe: list[str], *, hold: bool) -> Finding:
    first = quoted(unsafe[0])
    if hold:
        return Finding(f"Writers to {_listed(unsafe)} wait while the backup runs, since its engine has no transactions.")  # fmt: skip
    return Finding(
        f"The engine of {_listed(unsafe)} has no transactions: the backup may hold them in a state that never was.",
        f"ALTER TABLE {quoted(catalog.database)}.{first} ENGINE=InnoDB; or let writers wait (an option of the source).",
        caps=True,
    )


def _listed(tables: list[str]) -> str:
    more = f" and {len(tables) - SHOWN_TABLES} more" if len(tables) > SHOWN_TABLES else ""
    return ", ".join(tables[:SHOWN_TABLES]) + more


def _tools(server: Version, tool: Tool) -> list[Finding]:
    if server.flavour != tool.flavour:
        return [Finding(f"The server is {server}, but {tool.name} is of the other flavour ({tool.version}).",
                        "Install the client tools of the same flavour.")]  # fmt: skip
    if _series(tool.version) < _series(server.number):
        return [Finding(f"The server is {server}, {tool.name} only {tool.version}: it may not know everything.",
                        f"Install the client tools of version {server.series}.")]  # fmt: skip
    return []


def _series(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split(".")[:2])


def _transport(login: Login) -> list[Finding]:
    if login.socket or login.host in LOOPBACK or login.tls == "verify":
        return []
    how = "not encrypted" if login.tls == "off" else "encrypted, but the server's certificate is not checked"
    return [Finding(f"The connection to {login.host} is {how}.", "Choose TLS with a checked certificate.")]
