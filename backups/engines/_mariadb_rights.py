"""Which rights a backup needs, and which of them are missing (pure).

Guides recommend SELECT, LOCK TABLES and SHOW VIEW. With these alone triggers, events and routines are left out
of the dump at exit code 0, and information_schema hides them from the same user, so that nothing
after the dump can notice. Only the grants themselves tell.
"""

from collections.abc import Iterable

from backups.engines._mariadb_accounts import GRANT, SCOPE, Account, account_name, like_database, parse_rights
from backups.engines._mariadb_columns import quoted
from backups.engines.base import Finding

# In the order of the GRANT that the documentation shows.
NEEDED = ("SELECT", "LOCK TABLES", "SHOW VIEW", "TRIGGER", "EVENT")
EVERYTHING = "ALL PRIVILEGES"
# What every restore over what is there asks for: the drops, and what a dump runs.
TO_OVERWRITE = ("SELECT", "INSERT", "CREATE", "DROP", "ALTER", "LOCK TABLES")
# By the kind of an object, in a witness: what dropping and making one asks for besides.
FOR_OBJECTS = {
    "view": ("CREATE VIEW", "SHOW VIEW"), "trigger": ("TRIGGER",), "event": ("EVENT",),
    "procedure": ("CREATE ROUTINE", "ALTER ROUTINE"), "function": ("CREATE ROUTINE", "ALTER ROUTINE"),
    "package": ("CREATE ROUTINE", "ALTER ROUTINE"),
}  # fmt: skip
WHAT = {
    "SELECT": "tables", "LOCK TABLES": "one moment for all tables", "SHOW VIEW": "views",
    "TRIGGER": "triggers", "EVENT": "events",
}  # fmt: skip
# Any of these lets a user see that a routine exists.
SEES_ROUTINES = frozenset({EVERYTHING, "EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE"})


def rights_on(lines: Iterable[str], database: str, table: str = "*") -> frozenset[str]:
    """All rights that the lines of SHOW GRANTS give on the whole `database`, or on one `table` of it."""
    found: set[str] = set()
    for line in lines:
        match = GRANT.match(line)
        scope = SCOPE.match(match["scope"]) if match else None
        if match is None or scope is None or scope["kind"]:
            continue
        whole = scope["object"] == "*"
        if (whole and _covers(scope["database"], database)) or (
            scope["object"] == quoted(table) and scope["database"] == quoted(database)
        ):
            found |= parse_rights(match["rights"])
    return frozenset(found)


def _covers(pattern: str, database: str) -> bool:
    return pattern == "*" or like_database(pattern[1:-1].replace("``", "`"), database)


def missing_rights(lines: Iterable[str], database: str) -> list[str]:
    """Those of NEEDED that are not granted on the whole database."""
    rights = rights_on(lines, database)
    return [] if EVERYTHING in rights else [right for right in NEEDED if right not in rights]


def to_overwrite(objects: Iterable[str]) -> list[str]:
    """What a restore asks for where these objects ("trigger t") are dropped or made."""
    kinds = {name.partition(" ")[0] for name in objects}
    more = [right for kind, rights in FOR_OBJECTS.items() if kind in kinds for right in rights]
    return list(dict.fromkeys([*TO_OVERWRITE, *more]))


def missing_to_overwrite(
    lines: list[str], database: str, tables: Iterable[str], asked: Iterable[str] = TO_OVERWRITE
) -> list[str]:
    """Those that are `asked` for and granted neither on the whole database nor on each of `tables`."""
    held = rights_on(lines, database)
    each = [rights_on(lines, database, table) for table in tables]
    shared = frozenset.intersection(*each) if each else frozenset()
    known = held | shared
    return [] if EVERYTHING in known else [right for right in asked if right not in known]


def may_read_routines(lines: list[str], database: str) -> bool:
    """True if the definitions of everybody's routines can be read.

    MariaDB keeps them in mysql.proc; MariaDB 11.3 has SHOW CREATE ROUTINE; MySQL 8 asks for SELECT or
    SHOW_ROUTINE on everything.
    """
    proc = rights_on(lines, "mysql", "proc")
    here = rights_on(lines, database)
    everywhere = {right for line in lines if " ON *.* TO " in line for right in line.split()}
    return (
        bool({"SELECT", EVERYTHING} & proc)
        or "SHOW CREATE ROUTINE" in here
        or "SHOW_ROUTINE" in str(everywhere)
    )


def sees_routines(lines: list[str], database: str) -> bool:
    return bool(SEES_ROUTINES & rights_on(lines, database))


def findings(lines: list[str], database: str, account: Account, *, bodies_readable: bool) -> list[Finding]:
    """What the dump will lack, with the GRANT that cures it. `bodies_readable`: each routine that this
    user can see also shows its definition."""
    found = []
    name = account_name(account)
    if missing := missing_rights(lines, database):
        lacking = ", ".join(WHAT[right] for right in missing)
        found.append(
            Finding(
                f"The user {name} lacks {', '.join(missing)} on {database}: the backup may be without {lacking}.",
                f"GRANT {', '.join(missing)} ON {quoted(database)}.* TO {name};",
                caps=True,
            )
        )
    if may_read_routines(lines, database) or (sees_routines(lines, database) and bodies_readable):
        return found
    found.append(
        Finding(
            f"The user {name} cannot read all procedures and functions of {database}: "
            "the backup may be without them.",
            f"GRANT SELECT ON `mysql`.`proc` TO {name};",
            caps=True,
        )
    )
    return found
